# SPDX-License-Identifier: MIT
# An installation that has been moved, to a path with spaces, and is reached
# by a symbolic link: everything finds each other. (The layout is that of
# ../configure without options.)
prefix="$STORY_DIR/another prefix"
mkdir -p "$prefix/bin" "$prefix/lib/ckpt" "$prefix/libexec/ckpt"
for program in coordinator launch command restart image; do
	cp "$CKPT_BUILD/ckpt_$program" "$prefix/bin/"
done
cp "$CKPT_BUILD/ckpt_agent" "$prefix/libexec/ckpt/"
cp "$CKPT_BUILD/libckpt.so" "$prefix/lib/ckpt/"
ln -s "another prefix" "$STORY_DIR/link"
PATH=$STORY_DIR/link/bin:$PATH
launch counter 2; await ready
expect_file "/proc/$JOB/maps" 'another prefix/lib/ckpt/libckpt.so'
checkpoint; kill_all; restart; resume
await ready
checkpoint; kill_all; restart; resume
expect_exit 0
