# SPDX-License-Identifier: MIT
# A process whose main thread has ended is a process like any other.
launch leader-ended; await ready
checkpoint; checkpoint
kill_all; restart; resume
expect_exit 3
