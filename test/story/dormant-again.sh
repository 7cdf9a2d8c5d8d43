# SPDX-License-Identifier: MIT
# The same in the second life.
launch dormant
await ready; checkpoint; kill_all; restart; resume
await ready; checkpoint; resume
await ready; resume
expect_exit 0
