# SPDX-License-Identifier: MIT
# Two copies of one checkpoint run at the same time, with the same pid.
launch exit-status 5 later; await ready
checkpoint
resume
expect_exit 5
restart --new-coordinator -p 0 --port-file "$STORY_DIR/port1"
first=$JOB
restart --new-coordinator -p 0 --port-file "$STORY_DIR/port2"
second=$JOB
for PORT in 1 2; do
	await_line "$STORY_DIR/port$PORT" .
	PORT=$(cat "$STORY_DIR/port$PORT")
	await_running
done
# One resume may wake both, or one before the other has got there.
while JOB=$first job_runs || JOB=$second job_runs; do
	# shellcheck disable=SC2016 # the inner shell's
	timeout 1 bash -c 'exec 9>"$1"' _ "$STORY_DIR/resume" || :
done
JOB=$first; expect_exit 5
JOB=$second; expect_exit 5
