# SPDX-License-Identifier: MIT
# Zombies wait for their parent over a checkpoint and over a restart.
# run-as: user root
launch tree-zombies; await ready
checkpoint; resume; await ready
checkpoint; kill_all; restart; resume; await ready
checkpoint; kill_all; restart; await_running; checkpoint; kill_all; restart; resume
expect_exit 0
