# SPDX-License-Identifier: MIT
# No thread takes the signal: the report tells which process, and what it is
# doing. The program does not notice.
start_coordinator --stop-timeout 1
launch deaf-thread all; await ready
checkpoint_fails
expect_said "process $JOB \(deaf-thread\) was too late for phase stop: it sleeps in"
expect_nothing_partial
resume; await hears
checkpoint
kill_all
