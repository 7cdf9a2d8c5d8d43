# SPDX-License-Identifier: MIT
# The program goes on when ckpt_restart is killed, and can be checkpointed.
launch counter; await ready
checkpoint; kill_all; restart; await_running
kill -KILL "$JOB"
expect_signal KILL
expect_status processes 1
checkpoint; resume
await_output 'counted to 1000'
