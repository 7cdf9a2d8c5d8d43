# SPDX-License-Identifier: MIT
# A tree of ten processes comes back with its pids, and everybody can wait for
# his children; also after a checkpoint that let it run on, and twice.
# run-as: user root
launch tree-fork 3; await ready
checkpoint; checkpoint; kill_all; restart; await_running
checkpoint; kill_all; restart; resume
expect_exit 0
expect_file "$STORY_DIR/out" 'all 10 processes'
