# SPDX-License-Identifier: MIT
# A thread that cannot be stopped: the deadline passes, the report names it,
# and the program runs on. When it hears again it is checkpointed.
start_coordinator --stop-timeout 1
launch deaf-thread; await ready
checkpoint_fails
expect_said "phase stop: .*$JOB.*thread [0-9]+"
expect_nothing_partial
resume; await hears
checkpoint
kill_all; restart; await_running
kill_all
