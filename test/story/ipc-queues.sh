# SPDX-License-Identifier: MIT
# run-as: user root
# System V semaphores and message queues hold what they held, in every life.
launch ipc-queues; await ready
checkpoint; resume; await ready
checkpoint; kill_all
# What the killed program has left behind is not what it finds.
grep -c '^made' "$STORY_DIR/out" >&2
while read -r _ kind id; do
	check ipcrm "$kind" "$id"
done < <(grep '^made' "$STORY_DIR/out")
restart; resume; await ready
checkpoint; kill_all; restart; resume
expect_exit 0
