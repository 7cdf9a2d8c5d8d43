# SPDX-License-Identifier: MIT
# Datagrams that wait to be read and came from another host are there after a
# restart, from the sockets that have sent them: on the same hosts, on swapped
# ones, on one, and on two again.
# run-as: root
# unshare: --mount --net --pid --fork --kill-child
# needs: ip sshd ssh ssh-keygen nsenter setpriv
hosts a b
start_coordinator_on a
launch_on a hosts-letters serve 5000 2
await listening
await ready
launch_on b hosts-letters call a 5000 2
await ready
checkpoint
resume_on a; resume_on b
await read; await ready; await ready
for where in 'a --hosts a,b' 'b --map a=b --map b=a' 'a --hosts a' \
	'a --hosts a,b'; do
	checkpoint; kill_all
	# shellcheck disable=SC2086 # options are words
	restart_on $where
	await_running
done
resume_on a; await read; resume_on b
expect_exit 0
check [ "$(grep -c "are gone" "$STORY_DIR/restart.err")" -eq 0 ]
