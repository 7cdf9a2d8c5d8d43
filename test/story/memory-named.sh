# SPDX-License-Identifier: MIT
# What is written to shared memory after the checkpoint is taken back, and
# nothing of it is left in /dev/shm.
# run-as: user root
name=ckpt-story-$$
launch memory-named "$name"; await ready
checkpoint; resume; await ready
kill_all; restart; resume; await ready
checkpoint; kill_all; restart; resume
expect_exit 0
! compgen -G "/dev/shm/$name*" || fail "left behind: $(compgen -G "/dev/shm/$name*")"
