# SPDX-License-Identifier: MIT
# What was sent to a connection that is not accepted yet cannot be seen: the
# checkpoint is refused, and the next one, a moment later, is not.
launch inet-unaccepted; await ready
checkpoint_fails
expect_said 'not accepted yet; try again'
resume; await ready
checkpoint; kill_all; restart; resume
expect_exit 0
