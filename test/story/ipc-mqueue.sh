# SPDX-License-Identifier: MIT
# run-as: user root
# POSIX message queues hold what they held, in every life.
launch ipc-mqueue; await ready
checkpoint; resume; await ready
checkpoint; kill_all
# shellcheck disable=SC2046 # words
check "$(app_path ipc-mqueue)" remove $(sed -n 's/^made //p' "$STORY_DIR/out")
restart; resume; await ready
checkpoint; kill_all; restart; resume
expect_exit 0
