# SPDX-License-Identifier: MIT
# The program's own limits do not stop a checkpoint.
for what in descriptors files memory processes; do
	launch limits "$what"; await ready
	checkpoint; checkpoint
	kill_all; restart; resume
	expect_exit 0
done
