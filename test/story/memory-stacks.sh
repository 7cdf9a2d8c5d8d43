# SPDX-License-Identifier: MIT
# A stack that is memory of several processes stands in every life when the
# thread comes back to it, whoever brings it back.
launch memory-stacks; await ready
checkpoint; resume; await ready
checkpoint; kill_all; restart; resume; await ready
checkpoint; kill_all; restart; resume
expect_exit 0
