# SPDX-License-Identifier: MIT
# Its libraries have been replaced and removed: they come from the store, and
# the program still sees them under their names.
mkdir "$STORY_DIR/lib"
libc=$(ldd "$CKPT_BUILD/test/app/identity" | sed -n 's/.*libc\.so.* => \([^ ]*\) .*/\1/p')
cp "$libc" "$STORY_DIR/lib/libc.so.6"
cp "$CKPT_BUILD/test/app/identity" "$STORY_DIR/lib/identity"
start_coordinator
export LD_LIBRARY_PATH=$STORY_DIR/lib
launch "$STORY_DIR/lib/identity"; await ready
unset LD_LIBRARY_PATH
checkpoint; kill_all
rm "$STORY_DIR/lib/libc.so.6"
echo 'no program' >"$STORY_DIR/lib/new"
mv "$STORY_DIR/lib/new" "$STORY_DIR/lib/identity"
restart; resume
expect_exit 0
