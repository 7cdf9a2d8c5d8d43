# SPDX-License-Identifier: MIT
# Shared memory is of the same instant as the rest, with and without a
# snapshot.
for LAUNCH_OPTIONS in '' --sync; do
	launch memory-shared; await ready
	checkpoint; checkpoint
	kill_all; restart; resume
	expect_exit 0
done
