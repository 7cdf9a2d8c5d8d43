# SPDX-License-Identifier: MIT
# What cannot be restarted is refused with the reason, before anything happens.
mkdir "$STORY_DIR/folder"
cd "$STORY_DIR/folder" || fail cd
launch counter; await ready
checkpoint; kill_all
cd "$STORY_DIR" || fail cd
refuse() { # pattern, then arguments
	local pattern=$1

	shift
	check_fails bounded ckpt_restart --new-coordinator -p 0 "$@"
	expect_said "$pattern"
}
refuse 'generation 77' --generation 77 "$CKPTDIR"
refuse 'No such file' "$STORY_DIR/nowhere"
refuse 'no finished checkpoint' "$STORY_DIR/folder"
refuse 'rollback' --files sometimes "$CKPTDIR"
rmdir "$STORY_DIR/folder"
refuse 'working directory' "$CKPTDIR"
mkdir "$STORY_DIR/folder"
restart; resume
expect_exit 0
