# SPDX-License-Identifier: MIT
# No call returns EINTR because of a checkpoint or a restart, and time-outs
# end when they should: checkpointed twice while it goes on, then restarted.
# run-as: user root
launch blocked-calls kept; await ready
checkpoint; checkpoint
kill_all; restart; resume
expect_exit 0
