# SPDX-License-Identifier: MIT
# Whatever phase of a checkpoint fails, the program runs on, the former
# checkpoint stays, nothing partial is left, and the reason is told.
# run-as: user root
launch counter 10
await ready; checkpoint; resume
first=$(generations)
for phase in prepare stop capture snapshot release write commit; do
	await ready
	check_fails bounded env CKPT_FAULT="$phase:EIO" \
		ckpt_command -p "$PORT" -c
	expect_said "$phase"
	job_runs || fail "the program ended"
	expect_nothing_partial
	[ "$(generations)" = "$first" ] || fail "the former one has gone"
	resume
done
await ready
checkpoint; kill_all; restart; resume
await ready
resume
expect_exit 0
