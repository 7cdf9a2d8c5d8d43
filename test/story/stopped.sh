# SPDX-License-Identifier: MIT
# A program that is stopped cannot be checkpointed now: after the deadline
# the reason is told, and it runs on when it is continued.
start_coordinator --stop-timeout 1
launch counter 2; await ready
kill -STOP "$JOB"
checkpoint_fails
expect_said 'stop'
kill -CONT "$JOB"
resume; await ready
checkpoint; kill_all; restart; resume
expect_exit 0
