# SPDX-License-Identifier: MIT
# run-as: root
# Processes of root that have become another user, for good, for a while or
# in one thread alone, come back as who they were, and can be saved again.
chmod 755 "$STORY_DIR" .
for LAUNCH_OPTIONS in '' --sync; do
	launch become-user; await ready
	for _ in 1 2; do
		checkpoint; checkpoint
		kill_all; restart; resume; await ready
	done
	resume
	expect_exit 0
done
# shellcheck disable=SC2034 # lib.sh uses it
