# SPDX-License-Identifier: MIT
# TCP connections in many states between two hosts: they go on after a
# checkpoint, after a restart on the same hosts with their old names, and once
# more.
# run-as: root
# unshare: --mount --net --pid --fork --kill-child
# needs: ip sshd ssh ssh-keygen nsenter setpriv
hosts a b
start_coordinator_on a
launch_on a hosts-tcp serve 5000 3; JOB_A=$JOB
launch_on b hosts-tcp call a 5000 3
await ready; await ready
checkpoint
resume_on a; resume_on b; await ready; await ready
check [ "$(grep -c 'names of side . are old' "$STORY_DIR/out")" -eq 2 ]
checkpoint; kill_all
restart_on a --hosts a,b; resume_on a; resume_on b; await ready; await ready
# Somebody may have got one of the ports meanwhile.
check [ "$(grep -c 'names of side . are old\|^[12] names of side . are new' \
	"$STORY_DIR/out")" -eq 4 ]
checkpoint; kill_all
restart_on a --hosts a,b; resume_on a; resume_on b
expect_exit 0
