# SPDX-License-Identifier: MIT
# Where namespaces are refused, root gets the ids back in place.
# run-as: root
launch identity in-place; await ready
checkpoint; kill_all
restart --capsule never; resume
expect_exit 0
expect_file "$STORY_DIR/restart.err" 'no capsule'
