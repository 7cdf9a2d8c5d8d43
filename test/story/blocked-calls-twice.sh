# SPDX-License-Identifier: MIT
# A call that goes on in a second life is interrupted there, too, and goes on
# in a third.
# run-as: user root
launch blocked-calls kept; await ready
checkpoint
kill_all; restart; await_running
checkpoint; checkpoint
kill_all; restart; resume
expect_exit 0
