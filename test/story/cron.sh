# SPDX-License-Identifier: MIT
# A daemon of its own making, that has left everything behind and runs jobs by
# system() and popen(), goes on with them through two restarts.
# run-as: user root
log=$STORY_DIR/journal

launch cron
expect_exit 0
await_line "$log" '^job 3$'
pid=$(sed -n 's/^begins //p' "$log")
checkpoint; expect_said '[1-9] process'
checkpoint
for _ in 1 2; do
	kill_all; : >"$log"
	restart
	await_running
	await_line "$log" '^job [0-9]+$'
	first=$(sed -n 's/^job //p;T;q' "$log")
	await_line "$log" "^job $((first + 5))$"
	checkpoint
done
sed -n 's/^job //p' "$log" | uniq -d | grep . && fail "a job ran twice"
kill_all
