# SPDX-License-Identifier: MIT
# After a checkpoint the program goes on by itself; the newest of several
# checkpoints is the one that is restarted.
launch counter 3
await ready; checkpoint; resume
await ready; checkpoint; checkpoint; resume
await ready; checkpoint; kill_all
restart; resume
expect_exit 0
