# SPDX-License-Identifier: MIT
# On a kernel that has none of the newer calls, or refuses processes, all is
# kept, too.
for CKPT_MASK in pagemap_scan,kcmp,pr_get_auxv page_guard snapshot snapshot,writer; do
	export CKPT_MASK
	play memory-kinds GATE WORK
	rm "$STORY_DIR/out" "$STORY_DIR/gate"
done
CKPT_MASK=kcmp
launch descriptors-moving; await ready
checkpoint; checkpoint
kill_all; restart; resume; await ready; resume; await ready; resume
expect_exit 0
