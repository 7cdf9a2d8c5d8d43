# SPDX-License-Identifier: MIT
# Where the kernel has no time namespaces, only the monotonic clock jumps.
# run-as: user root
launch identity in-place; await ready
checkpoint; kill_all
export CKPT_MASK=time_namespaces
restart; resume
expect_exit 0
expect_file "$STORY_DIR/restart.err" 'monotonic clock jumps'
