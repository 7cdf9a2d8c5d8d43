# SPDX-License-Identifier: MIT
# A posix_spawn() or vfork() whose child does not get to its exec: the
# checkpoint waits for it, before anybody is stopped, and names it if it takes
# too long. When it has got there it is checkpointed.
# run-as: user root
checkpoint_when_it_goes_on() {
	ask -c >"$STORY_DIR/said" 2>&1 & asked=$!
	resume; await ready
	wait "$asked" || fail "$(cat "$STORY_DIR/said")"
}

start_coordinator --stop-timeout 1
launch spawn-slow; await ready
checkpoint_fails
expect_said "phase prepare: process [0-9]+ \(.*posix_spawn"
expect_nothing_partial
checkpoint_when_it_goes_on
kill_all; restart; resume; await ready
checkpoint_when_it_goes_on
kill_all; restart; resume
expect_exit 0
