# SPDX-License-Identifier: MIT
# The agent, then the coordinator, are killed at moments of a checkpoint that
# chance chooses. Each time the program goes on, nothing partial is left, the
# next checkpoint works; and at the end what is there restarts.
# timeout: 300
launch worker 64
await_output '^ready'
checkpoint

goes_on() {
	local before
	before=$(tail -n 1 "$STORY_DIR/out")
	before=${before#round }
	job_runs || fail "the program ended: $(cat "$STORY_DIR/err")"
	deadline=$((SECONDS + PATIENCE))
	until [ "$(tail -n 1 "$STORY_DIR/out" | tr -dc 0-9)" -gt "${before//[!0-9]/}" ]; do
		[ "$SECONDS" -lt "$deadline" ] || fail "the program stands still"
	done
}

one_round() { # program to be killed
	ask -c >"$STORY_DIR/said" 2>&1 &
	asked=$!
	read -r -t "0.$(printf %03d $((RANDOM % 150)))" <>"$STORY_DIR/never" || :
	for pid in $(story_pids "$1"); do kill_now "$pid" || :; done
	wait "$asked" || :
	say "$(cat "$STORY_DIR/said")"
	goes_on
}

next_works() {
	deadline=$((SECONDS + PATIENCE))
	until ask -c >"$STORY_DIR/said" 2>&1; do
		[ "$SECONDS" -lt "$deadline" ] ||
			fail "no checkpoint any more: $(cat "$STORY_DIR/said")"
	done
	expect_nothing_partial
	goes_on
}

mkfifo "$STORY_DIR/never"
for _ in 1 2 3 4 5 6 7 8; do
	one_round ckpt_agent
	next_works
done
for _ in 1 2 3 4 5 6 7 8; do
	one_round ckpt_coordinator
	check bounded ckpt_coordinator --daemon -p "$PORT" -d "$CKPTDIR" \
		--log "$STORY_DIR/coordinator.log" </dev/null
	next_works
done
kill_all
restart
await_running
: >"$STORY_DIR/gate"
expect_exit 0
expect_file "$STORY_DIR/out" '^done, all ok'
