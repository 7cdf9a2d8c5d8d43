# SPDX-License-Identifier: MIT
# A full disk: the checkpoint fails and says so, the program runs on, the
# former checkpoint restarts.
# run-as: root
# unshare: --mount
mkdir "$CKPTDIR"
mount -t tmpfs -o size=24m tmpfs "$CKPTDIR" 2>/dev/null || skip "no mount here"
launch counter 3
await ready; checkpoint; resume; await ready
dd if=/dev/zero of="$CKPTDIR/filler" bs=64k status=none 2>/dev/null || :
checkpoint_fails
expect_said 'space'
expect_nothing_partial
rm "$CKPTDIR/filler"
kill_all
restart; resume; await ready; resume; await ready; resume
expect_exit 0
