# shellcheck disable=SC2046 # pids are words
# SPDX-License-Identifier: MIT
# The program, its agent and the coordinator are killed as in a crash.
launch counter; await ready
checkpoint
kill -KILL "$JOB" $(story_pids ckpt_agent) $(story_pids ckpt_coordinator)
expect_signal KILL
PORT=
restart; resume
expect_exit 0
