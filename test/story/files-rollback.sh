# SPDX-License-Identifier: MIT
# What a program wrote after the checkpoint is set aside at the restart, and
# the report says so; it finds its files as they were.
# run-as: user root
echo ABCDEFGHIJ >reader
launch files rollback
await ready; checkpoint; resume; await ready
expect_file append two
kill_all
restart; resume; await ready; resume
expect_exit 0
expect_file "$STORY_DIR/restart.err" 'append'
[ "$(cat append)" = "one
two" ] || fail "append holds: $(cat append)"
