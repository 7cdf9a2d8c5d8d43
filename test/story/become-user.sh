# SPDX-License-Identifier: MIT
# run-as: root
# Processes of root that have become another user, for good or for a while,
# are named; without them the job can be saved.
chmod 755 "$STORY_DIR" .
launch become-user; await ready
for _ in 1 2; do
	checkpoint_fails
	expect_said 'process [0-9]+ \(become-user\) .* has become another user, with uid 61001'
	expect_nothing_partial
	resume; await ready
done
checkpoint; kill_all; restart; resume
expect_exit 0
