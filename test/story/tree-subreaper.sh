# SPDX-License-Identifier: MIT
# Who was adopted by a subreaper is its child again, and it stays one.
# run-as: user root
launch tree-subreaper; await ready
checkpoint; checkpoint; kill_all; restart; resume; await ready
checkpoint; kill_all; restart; resume
expect_exit 0
