# SPDX-License-Identifier: MIT
# A program that is stopped is saved, and stopped again; one that is still
# stopped is saved again, and no such checkpoint, nor one that fails, lets it
# run. It runs on when it is continued, here or after a restart.
expect_stopped()
{
	grep -q '^State:.T' "/proc/$1/status" || fail "process $1 is not stopped"
}
launch counter 3; await ready
kill -STOP "$JOB"
checkpoint; expect_stopped "$JOB"
checkpoint; expect_stopped "$JOB"
check_fails env CKPT_FAULT=capture:EIO ckpt_command -p "$PORT" -c
expect_stopped "$JOB"
check_fails env CKPT_FAULT=stop:EIO ckpt_command -p "$PORT" -c
expect_stopped "$JOB"
checkpoint; expect_stopped "$JOB"
kill -CONT "$JOB"
resume; await ready
checkpoint; resume; await ready
checkpoint; kill_all; restart; resume
expect_exit 0
