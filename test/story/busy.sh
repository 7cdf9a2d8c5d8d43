# SPDX-License-Identifier: MIT
# Threads in the most inconvenient places: ten checkpoints while they go on,
# then two restarts.
# run-as: user root
# timeout: 240
launch busy 2; await ready
for _ in 1 2 3 4 5 6 7 8 9 10; do
	checkpoint
done
kill_all; restart; resume
await ready
checkpoint; checkpoint
kill_all; restart; resume
expect_exit 0
