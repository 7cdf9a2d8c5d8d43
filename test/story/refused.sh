# SPDX-License-Identifier: MIT
# What cannot be saved is named; the program runs on, and when that is gone
# it can be checkpointed.
# run-as: user root
refuses() { # thing, what is said
	launch refused "$1"
	await ready
	checkpoint_fails; expect_said "$2"
	resume; await ready
	checkpoint
	kill_all; restart; resume
	expect_exit 0
}

refuses aio 'aio|AIO'
refuses own-table 'own descriptors'
# Where an ordinary user may not have them, the program ends at once.
if [ "$(cat /proc/sys/kernel/io_uring_disabled 2>/dev/null)" = 0 ]; then
	refuses io_uring 'io_uring'
fi
refuses userfaultfd 'userfaultfd'
