# SPDX-License-Identifier: MIT
# -kc: nothing runs between the image and the end. When it fails all runs on.
launch counter 2; await ready
check_fails env CKPT_FAULT=write:ENOSPC ckpt_command -p "$PORT" -kc
expect_said 'No space left'
job_runs || fail "killed although the checkpoint failed"
resume; await ready
say "checkpoint and kill"
check ask -kc >&2
[ "$(wait_job)" = 137 ] || fail "the program was not killed"
expect_status processes 0
restart; resume
expect_exit 0
