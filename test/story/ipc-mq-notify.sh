# SPDX-License-Identifier: MIT
# run-as: user root
launch ipc-mq-notify; await ready
for cycle in 1 2; do
	checkpoint; resume; await ready
	checkpoint; kill_all; restart; resume
	[ "$cycle" = 2 ] || await ready
done
expect_exit 0
launch ipc-mq-notify thread; await ready
checkpoint_fails
expect_said 'SIGEV_THREAD'
resume; await ready
checkpoint; kill_all; restart; resume
expect_exit 0
