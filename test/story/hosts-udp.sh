# SPDX-License-Identifier: MIT
# Requests and answers in datagrams between two hosts, of clients that are
# connected and that are not, go on after a restart on the same hosts, on
# swapped ones, on one, and on two again.
# run-as: root
# unshare: --mount --net --pid --fork --kill-child
# needs: ip sshd ssh ssh-keygen nsenter setpriv /usr/bin/python3
hosts a b
start_coordinator_on a
game=$CKPT_SOURCE/test/real/game.py
launch_on a /usr/bin/python3 "$game" serve 6000
await_output '^listening'
launch_on b /usr/bin/python3 "$game" call a 6000 10.77.0.255 "$STORY_DIR/gate"
await_output '^ready'
checkpoint
for where in 'a --hosts a,b' 'b --map a=b --map b=a' 'a --hosts a' \
	'a --hosts a,b'; do
	checkpoint; kill_all
	# shellcheck disable=SC2086 # options are words
	restart_on $where
	await_running
done
: >"$STORY_DIR/gate"
await_output '^done'
expect_file "$STORY_DIR/out" '^done ok$'
ask -k
