# SPDX-License-Identifier: MIT
# Restarted lazily, memory is the image's until it is touched: it survives
# that the generation is pruned, other checkpoints, and another lazy restart.
# run-as: user root
LAUNCH_OPTIONS='--compress none'
program=$(app_path resident)
launch "$program" "$STORY_DIR/gate" 48
await_output '^ready'
checkpoint; kill_all
restart --lazy; await_running
process=$(story_pids resident)
grep -q '/gen-000001/proc-.*\.img' "/proc/${process:?}/maps" ||
	fail "it was not restarted lazily"
checkpoint; checkpoint; checkpoint
[ -z "$(find "$CKPTDIR" -name gen-000001)" ] || fail "nothing has been pruned"
kill_all
restart --lazy; await_running
checkpoint; kill_all
restart; await_running
: >"$STORY_DIR/gate"
expect_exit 0
expect_file "$STORY_DIR/out" '^done.* ok$'
