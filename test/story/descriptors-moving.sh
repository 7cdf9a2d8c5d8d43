# SPDX-License-Identifier: MIT
# The table of descriptors is that of the instant when all threads stood.
# run-as: user root
launch descriptors-moving; await ready
for _ in 1 2 3 4 5 6 7 8 9 10; do checkpoint; done
kill_all; restart; resume; await ready
checkpoint; checkpoint
kill_all; restart; resume; await ready; resume
expect_exit 0
