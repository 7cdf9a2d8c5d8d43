# SPDX-License-Identifier: MIT
# A restarted program is checkpointed, killed and restarted again.
# run-as: user root
launch counter 3
await ready
checkpoint; kill_all; restart; resume
await ready
checkpoint; kill_all; restart; resume
await ready
checkpoint; kill_all; restart; resume
expect_exit 0
expect_file "$STORY_DIR/out" 'counted to 3000'
