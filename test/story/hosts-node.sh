# SPDX-License-Identifier: MIT
# node: an HTTP server on one host, clients that keep their connections on
# another, restarted on the same hosts, on swapped ones, on one and on two.
# run-as: root
# unshare: --mount --net --pid --fork --kill-child
# needs: ip sshd ssh ssh-keygen nsenter setpriv node
# timeout: 300
hosts a b
http=$CKPT_SOURCE/test/real/node-http.js
start_coordinator_on a
launch_on a node "$http" serve 5000
await_output '^listening'
launch_on b node "$http" call a 5000 "$STORY_DIR/gate"
await_output '^ready'
checkpoint
for where in 'a --hosts a,b' 'b --map a=b --map b=a' 'b --hosts b' \
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
