# SPDX-License-Identifier: MIT
# Where the system refuses namespaces a user is told what to allow; root gets
# his program back in place.
# run-as: user root
launch identity in-place; await ready
checkpoint; kill_all
export CKPT_MASK=namespaces
if [ "$(id -u)" = 0 ]; then
	restart; resume
	expect_exit 0
	expect_file "$STORY_DIR/restart.err" 'no capsule'
else
	restart
	expect_exit 99
	expect_file "$STORY_DIR/restart.err" 'namespaces'
	unset CKPT_MASK
	restart; resume
	expect_exit 0
fi
