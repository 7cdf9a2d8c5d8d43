# SPDX-License-Identifier: MIT
# Answers by netlink that have not been read: a checkpoint leaves them, after a
# restart they come again, or an overrun is told, which ckpt_restart says.
# run-as: user root
launch netlink-unread; await ready
checkpoint; resume; await ready
checkpoint; kill_all; restart; resume
expect_exit 0
expect_file "$STORY_DIR/restart.err" 'netlink.*are gone; it is told of an overrun'
