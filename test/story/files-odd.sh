# SPDX-License-Identifier: MIT
# run-as: user root
# Nameless, half-read, O_PATH, sealed, locked and /proc files that two processes
# share, in every life.
launch files-odd; await ready
checkpoint; resume; await ready
checkpoint; kill_all; restart; resume; await ready
checkpoint; kill_all; restart; resume
expect_exit 0
