# SPDX-License-Identifier: MIT
# Bulk transfer over a chain of three hosts, there and back, never at rest:
# restarted on the same hosts, in a ring, on two, on one, and on three again.
# run-as: root
# unshare: --mount --net --pid --fork --kill-child
# needs: ip sshd ssh ssh-keygen nsenter setpriv /usr/bin/python3
# timeout: 300
hosts a b c
chain=$CKPT_SOURCE/test/real/chain.py
gate=$STORY_DIR/gate
start_coordinator_on a
launch_on a /usr/bin/python3 "$chain" serve 5000
await_output '^listening'
launch_on b /usr/bin/python3 "$chain" relay 5001 a 5000
until [ "$(grep -c '^listening' "$STORY_DIR/out")" -eq 2 ]; do :; done
launch_on c /usr/bin/python3 "$chain" call b 5001 "$gate"
await_output '^ready'
checkpoint
for where in 'a --hosts a,b,c' 'b --map a=b --map b=c --map c=a' \
	'a --hosts a,b' 'c --hosts c' 'a --hosts a,b,c'; do
	checkpoint; kill_all
	# shellcheck disable=SC2086 # options are words
	restart_on $where
	await_running
done
: >"$gate"
expect_exit 0
await_output '^done, many pieces ok$'
