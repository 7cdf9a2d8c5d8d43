# SPDX-License-Identifier: MIT
# Programs on two hosts are one computation: one checkpoint holds both, they go
# on, and one command kills them. The second host fetches the cookie by ssh.
# run-as: root
# unshare: --mount --net --pid --fork --kill-child
# needs: ip sshd ssh ssh-keygen nsenter setpriv
hosts a b
start_coordinator_on a
launch_on a counter 2; JOB_A=$JOB
await ready
launch_on b counter 2; JOB_B=$JOB
await ready
expect_status host_groups 2
expect_status processes 2
checkpoint
resume_on a; resume_on b; await ready; await ready
checkpoint
check [ "$(generations | wc -l)" -eq 2 ]
check [ "$(find "$CKPTDIR"/*/gen-000002 -name '*.img' | wc -l)" -eq 2 ]
check on b ckpt_image verify "$CKPTDIR"
on b ckpt_command -h a -p "$PORT" -l >"$STORY_DIR/list"
expect_file "$STORY_DIR/list" '^a \(10.77.0.1\), group'
expect_file "$STORY_DIR/list" '^b \(10.77.0.2\), group'

# Who has another cookie is not let in.
check_fails on b env CKPT_COOKIE="$(printf '%064d' 7)" \
	ckpt_command -h a -p "$PORT" -s
expect_said 'cookie'
# Who has the right one need not ask for it.
cookie=$(on a ckpt_command -p "$PORT" --print-cookie)
check on b env XDG_RUNTIME_DIR="$STORY_DIR/tmp" CKPT_SSH=/bin/false \
	CKPT_COOKIE="$cookie" ckpt_command -h a -p "$PORT" -s
check_fails on b env XDG_RUNTIME_DIR="$STORY_DIR/tmp" CKPT_SSH=/bin/false \
	ckpt_command -h a -p 1 -s
expect_said 'no cookie'

ask -k
JOB=$JOB_A; expect_signal KILL
JOB=$JOB_B; expect_signal KILL
