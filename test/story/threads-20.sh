# SPDX-License-Identifier: MIT
# Twenty threads, running and waiting, continue as the threads they were.
# run-as: user root
launch threads 20; await ready
checkpoint; kill_all; restart; resume
await ready
checkpoint; kill_all; restart; resume
expect_exit 0
