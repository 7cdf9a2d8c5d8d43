# SPDX-License-Identifier: MIT
# Programs and a shell make children all the time, while ten checkpoints are
# taken and after two restarts: none of them is lost and none comes twice.
# run-as: user root
# timeout: 240
cat >"$STORY_DIR/loop" <<'SCRIPT'
"$1" & program=$!
rounds=0
while [ ! -e "$2/gate" ]; do
	[ "$(echo x | cat | wc -l)" = 1 ] || { echo "WRONG: round $rounds"; exit 1; }
	rounds=$((rounds + 1))
done
kill -USR1 "$program"
wait "$program" && echo "done $rounds ok"
SCRIPT
launch bash "$STORY_DIR/loop" "$(app_path churn)" "$STORY_DIR"; await ready
for _ in 1 2 3 4 5 6 7 8 9 10; do
	checkpoint
done
job_runs || fail "it did not survive ten checkpoints"
for _ in 1 2; do
	kill_all; restart; await_running
	checkpoint; checkpoint
done
: >"$STORY_DIR/gate"
expect_exit 0
expect_file "$STORY_DIR/out" '^done [0-9]* ok$'
