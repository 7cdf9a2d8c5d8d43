# SPDX-License-Identifier: MIT
# A stopped job stays stopped, over a checkpoint and over a restart, and when
# it is saved again meanwhile.
# run-as: user root
launch tree-stopped; await ready
checkpoint; checkpoint; resume; await ready
checkpoint; kill_all; restart; resume; await ready
checkpoint; kill_all; restart; await_running; checkpoint; kill_all; restart; resume
expect_exit 0
