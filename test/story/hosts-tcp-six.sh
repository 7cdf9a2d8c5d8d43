# SPDX-License-Identifier: MIT
# TCP connections in many states between two hosts by IPv6: restarted on the
# same hosts, and on swapped ones.
# run-as: root
# unshare: --mount --net --pid --fork --kill-child
# needs: ip sshd ssh ssh-keygen nsenter setpriv
hosts a b
start_coordinator_on a
launch_on a hosts-tcp serve6 5000 2
launch_on b hosts-tcp call a-6 5000 2
await ready; await ready
checkpoint; kill_all
restart_on a --hosts a,b; resume_on a; resume_on b; await ready; await ready
check [ "$(grep -c 'names of side . are old\|^[12] names of side . are new' \
	"$STORY_DIR/out")" -eq 2 ]
checkpoint; kill_all
restart_on b --map a=b --map b=a; resume_on a; resume_on b
expect_exit 0
