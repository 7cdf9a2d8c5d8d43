# SPDX-License-Identifier: MIT
# A broken image is refused before anything is created, with the reason.
launch counter; await ready
checkpoint; kill_all
image=$(echo "$CKPTDIR"/*/gen-*/proc-*.img)
[ -f "$image" ] || fail "no image: $image"
check bounded ckpt_image verify "$CKPTDIR"
cp "$image" "$STORY_DIR/good"
size=$(stat -c %s "$image")

refused() { # how
	say "$1"
	check_fails bounded ckpt_image verify "$CKPTDIR"
	check_fails bounded ckpt_restart -p "$PORT" "$CKPTDIR"
	expect_said 'proc-|image'
	cp "$STORY_DIR/good" "$image"
}

truncate -s $((size / 2)) "$image"; refused "half of it"
truncate -s 0 "$image"; refused "empty"
truncate -s $((size - 1)) "$image"; refused "its last byte is missing"
for at in 0 8 12 100 4100 $((size / 2)) $((size - 8)); do
	byte=$(od -An -tu1 -j "$at" -N 1 "$image")
	printf '%b' "\\x$(printf %x $((byte ^ 16)))" |
		dd of="$image" bs=1 seek="$at" conv=notrunc status=none
	refused "a bit is wrong at $at"
done
check bounded ckpt_image verify "$CKPTDIR"
restart; resume
expect_exit 0
