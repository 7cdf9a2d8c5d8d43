# SPDX-License-Identifier: MIT
# Two hundred processes: a checkpoint, a restart and another one of that.
launch tree-fork 66; await ready
checkpoint; expect_said '199 processes'
kill_all; restart; await_running
checkpoint; expect_said '199 processes'
kill_all; restart; resume
expect_exit 0
