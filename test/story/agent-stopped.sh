# SPDX-License-Identifier: MIT
# An agent that is stopped while all wait for it does not keep them waiting.
start_coordinator --stop-timeout 30
launch deaf-thread; await ready
mkfifo never
launch bash -c 'while echo tick $$; do read -rt 0.05 _ <>never || :; done'
await_output '^tick'
ticker=$(sed -n 's/^tick //p;q' "$STORY_DIR/out")
ticks() {
	grep -c '^tick' "$STORY_DIR/out"
}
check_fails ask -c &
asked=$!
# The thread that waits has come, and the others stand.
deadline=$((SECONDS + PATIENCE))
until [ "$(echo "/proc/$ticker/task"/*)" != "/proc/$ticker/task/$ticker" ]; do
	[ "$SECONDS" -lt "$deadline" ] || fail "it is not asked to stop"
done
agent=$(story_pids ckpt_agent)
kill -STOP "$agent"
before=$(ticks)
while [ "$(ticks)" -lt $((before + 20)) ]; do
	[ "$SECONDS" -lt "$deadline" ] || fail "it waits for the agent"
done
kill -CONT "$agent"
wait "$asked"
expect_nothing_partial
resume; await hears
checkpoint; kill_all
