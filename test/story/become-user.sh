# SPDX-License-Identifier: MIT
# run-as: root
# Processes of root that have become another user, for good, for a while or
# in one thread alone, come back as who they were, and can be saved again:
# in a capsule, also by a new agent, and in place.
chmod 755 "$STORY_DIR" .
for LAUNCH_OPTIONS in '' --sync; do
	launch become-user; await ready
	checkpoint; checkpoint
	kill_all; restart; resume; await ready
	for pid in $(story_pids ckpt_agent); do kill -KILL "$pid"; done
	checkpoint
	kill_all; restart --capsule never; resume; await ready
	checkpoint
	resume
	expect_exit 0
done
