# SPDX-License-Identifier: MIT
# Bulk transfer both ways at once between two hosts, by calls that block and
# that do not, with queues that are full all the time: restarted on the same
# hosts, on swapped ones, and back.
# run-as: root
# unshare: --mount --net --pid --fork --kill-child
# needs: ip sshd ssh ssh-keygen nsenter setpriv
hosts a b
start_coordinator_on a
launch_on a duplex serve 5000 "$STORY_DIR/gate"
await_output '^listening'
launch_on b duplex call a 5000 "$STORY_DIR/gate"
await_output '^ready'
checkpoint
for where in 'a --hosts a,b' 'b --map a=b --map b=a' 'a --hosts a,b'; do
	checkpoint; kill_all
	# shellcheck disable=SC2086 # options are words
	restart_on $where
	await_running
done
: >"$STORY_DIR/gate"
expect_exit 0
check [ "$(grep -c '^done ok$' "$STORY_DIR/out")" -eq 2 ]
