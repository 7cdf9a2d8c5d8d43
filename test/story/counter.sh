# SPDX-License-Identifier: MIT
# The main job in its smallest form.
# run-as: user root
launch counter; await ready
checkpoint; kill_all; restart; resume
expect_exit 0
expect_file "$STORY_DIR/out" 'counted to 1000'
