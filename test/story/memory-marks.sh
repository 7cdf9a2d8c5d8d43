# SPDX-License-Identifier: MIT
# Memory that fork() would leave behind is in the image all the same.
launch memory-marks; await ready
checkpoint; checkpoint
kill_all; restart; resume; await ready
checkpoint; checkpoint
kill_all; restart; resume
expect_exit 0
