# SPDX-License-Identifier: MIT
# Sessions, process groups, daemons and orphans are what they were: when the
# program runs on, when it is restarted, and when that is restarted.
# run-as: user root
launch tree-sessions; await ready
checkpoint; resume; await ready
checkpoint; kill_all; restart; resume; await ready
checkpoint; kill_all; restart; resume
expect_exit 0
