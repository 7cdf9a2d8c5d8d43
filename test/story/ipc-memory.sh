# SPDX-License-Identifier: MIT
# run-as: user root
# What several processes share is one thing again, in every life.
launch ipc-memory; await ready
checkpoint; resume; await ready
checkpoint; kill_all; restart; resume; await ready
checkpoint; kill_all; restart; resume
expect_exit 0
