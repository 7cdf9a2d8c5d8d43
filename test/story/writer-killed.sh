# SPDX-License-Identifier: MIT
# The child that writes the image is killed (a hard memory limit does that):
# the checkpoint fails and says so, the program runs on.
# timeout: 240
launch worker 400
await_output '^ready'
checkpoint
first=$(generations)
killed=
for _ in 1 2 3 4 5 6 7 8 9 10; do
	ask -c >"$STORY_DIR/said" 2>&1 &
	asked=$!
	while kill -0 "$asked" 2>/dev/null; do
		# shellcheck disable=SC2013 # they are words
		for writer in $(cat "/proc/$JOB"/task/*/children 2>/dev/null); do
			kill -KILL "$writer" 2>/dev/null && killed=1
		done
	done
	wait "$asked" || break
	killed=
done
[ -n "$killed" ] || fail "no writer could be killed"
expect_said "the writer .*was killed"
expect_nothing_partial
checkpoint
[ "$(generations | tail -n 1)" != "$first" ] || fail "no new generation"
: >"$STORY_DIR/gate"
expect_exit 0
expect_file "$STORY_DIR/out" '^done, all ok'
