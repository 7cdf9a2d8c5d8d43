# SPDX-License-Identifier: MIT
# The death of the coordinator does not touch the program; a new one on the
# same port learns of it from the agent.
launch counter 3
await ready; checkpoint
for pid in $(story_pids ckpt_coordinator); do kill_now "$pid"; done
resume; await ready
check bounded ckpt_coordinator --daemon -p "$PORT" -d "$CKPTDIR" \
	--log "$STORY_DIR/coordinator.log" </dev/null
deadline=$((SECONDS + PATIENCE))
until [ "$(status_field processes)" = 1 ]; do
	[ "$SECONDS" -lt "$deadline" ] || fail "the agent does not come back"
done
checkpoint; kill_all; restart; resume; await ready; resume
expect_exit 0
