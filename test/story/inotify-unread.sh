# SPDX-License-Identifier: MIT
# An inotify event that has not been read is lost by a restart, which says so.
# run-as: user root
launch inotify-unread; await ready
checkpoint; resume; await ready
checkpoint; kill_all; restart; resume
expect_exit 0
expect_file "$STORY_DIR/restart.err" 'inotify.*events that it had not read yet are gone'
