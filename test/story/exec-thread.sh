# SPDX-License-Identifier: MIT
# exec() by a thread that is not the first one.
# run-as: user root
launch exec-thread rounds; await ready
checkpoint; resume; await ready
checkpoint; kill_all; restart; resume; await ready
checkpoint; kill_all; restart; resume
expect_exit 0

# All the time.
launch exec-thread loop; await ready
checkpoint; checkpoint; checkpoint; checkpoint; checkpoint
kill_all; restart; await_running
checkpoint; checkpoint
kill_all; restart; await_running
: >gate
expect_exit 0
