# SPDX-License-Identifier: MIT
# A copy is restarted, with the same pid, while the original goes on; each
# ends when it is told to.
launch sleep 1000; await_running
checkpoint
original=$JOB
restart --new-coordinator -p 0 --port-file "$STORY_DIR/port2"
await_line "$STORY_DIR/port2" .
PORT=$(cat "$STORY_DIR/port2")
await_running
copy=$JOB
JOB=$original
job_runs || fail "the original has ended"
kill -TERM "$original"
expect_signal TERM
JOB=$copy
job_runs || fail "the copy has ended with it"
kill -TERM "$copy"
expect_signal TERM
