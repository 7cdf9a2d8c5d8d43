# SPDX-License-Identifier: MIT
# Without a capsule the pid must be free; if it is not, that is all that happens.
# run-as: root
launch identity in-place; await ready
checkpoint
program=$JOB
restart --new-coordinator --capsule never
expect_exit 99
expect_file "$STORY_DIR/restart.err" 'in use'
JOB=$program
resume
expect_exit 0
