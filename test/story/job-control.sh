# SPDX-License-Identifier: MIT
# ckpt_restart stops and continues with the program, as a shell expects it of
# its jobs.
set -m
launch obedient; await ready
checkpoint; kill_all
restart; resume
await_running
state() {
	sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' "/proc/$JOB/status"
}
kill -TSTP "$JOB"
until [ "$(state)" = T ]; do
	job_runs || fail "it has ended"
done
kill -CONT -- "-$JOB"
kill -USR1 "$JOB"; await usr1
[ "$(state)" != T ] || fail "ckpt_restart is still stopped"
kill -TERM "$JOB"; await term
expect_exit 42
