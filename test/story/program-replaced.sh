# SPDX-License-Identifier: MIT
# Another program stands under its name now.
mkdir "$STORY_DIR/bin"
cp "$CKPT_BUILD/test/app/counter" "$STORY_DIR/bin/counter"
launch "$STORY_DIR/bin/counter"; await ready
checkpoint; kill_all
cp "$CKPT_BUILD/test/app/threads" "$STORY_DIR/bin/counter"
restart; resume
expect_exit 0
expect_file "$STORY_DIR/out" 'counted to 1000'
