# SPDX-License-Identifier: MIT
# What was sent to a connection that is not accepted yet cannot be seen: the
# checkpoint is tried again, and in the end refused.
launch inet-unaccepted; await ready
checkpoint_fails
expect_said 'not accepted yet; try again'
expect_nothing_partial
: >"$STORY_DIR/coordinator.log"
ask -c >asked 2>&1 &
asked=$!
await_line "$STORY_DIR/coordinator.log" 'aborted in phase capture'
resume; await ready
wait "$asked" || fail "not tried again: $(cat asked)"
checkpoint; kill_all; restart; resume
expect_exit 0
