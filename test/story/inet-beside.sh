# SPDX-License-Identifier: MIT
# A copy beside the original: its connections find their ports taken, go over
# others, and it says so. Both come to their ends.
launch bulk "$STORY_DIR/gate"
await_output '^ready'
checkpoint
original=$JOB
start_coordinator
restart
await_running
: >"$STORY_DIR/gate"
expect_exit 0
await_line "$STORY_DIR/restart.err" 'its connection from .* to .* goes from .* to .* now'
JOB=$original
expect_exit 0
