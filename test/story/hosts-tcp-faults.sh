# SPDX-License-Identifier: MIT
# Whatever phase of a checkpoint fails, every stream between two hosts goes on
# to the byte.
# run-as: root
# unshare: --mount --net --pid --fork --kill-child
# needs: ip sshd ssh ssh-keygen nsenter setpriv
hosts a b
start_coordinator_on a
launch_on a hosts-tcp serve 5000 2; JOB_A=$JOB
launch_on b hosts-tcp call a 5000 2
await ready; await ready
for phase in prepare stop capture snapshot release write commit; do
	check_fails bounded "$STORY_DIR/on" a \
		env CKPT_FAULT="$phase:EIO" ckpt_command -p "$PORT" -c
done
resume_on a; resume_on b; await ready; await ready
check_fails bounded "$STORY_DIR/on" b \
	env CKPT_FAULT=capture:EBUSY ckpt_command -h a -p "$PORT" -c
checkpoint
resume_on a; resume_on b
expect_exit 0
JOB=$JOB_A; expect_exit 0
