# SPDX-License-Identifier: MIT
# run-as: user root
# Locks that processes share, and who sleeps in them, in every life.
launch ipc-locks; await ready
checkpoint; resume; await ready
checkpoint; kill_all; restart; resume; await ready
checkpoint; kill_all; restart; resume
expect_exit 0
