# SPDX-License-Identifier: MIT
# After a restart it is the same process, in its own eyes; twice.
# run-as: user root
launch identity; await ready
checkpoint; kill_all; restart; await_running
checkpoint; kill_all; restart; resume
expect_exit 0
