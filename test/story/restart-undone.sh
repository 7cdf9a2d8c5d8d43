# SPDX-License-Identifier: MIT
# A restart that fails half way (its pid is taken) leaves the user's files as
# they were, and no process and no folder behind.
# run-as: root
echo ABCDEFGHIJ >reader
launch files rollback
await ready; checkpoint; resume; await ready
cp append append.before
program=$JOB
restart --new-coordinator --capsule never
expect_exit 99
check cmp append append.before
[ -z "$(find . -name '*.ckpt-*')" ] || fail "left: $(find . -name '*.ckpt-*')"
expect_status processes 1
JOB=$program
kill_all
restart; resume; await ready; resume
expect_exit 0
