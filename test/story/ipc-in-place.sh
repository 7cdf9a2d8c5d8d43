# SPDX-License-Identifier: MIT
# run-as: root
# Without namespaces what the killed program has left behind is used again.
for program in ipc-segments ipc-queues; do
	launch "$program"; await ready
	checkpoint; resume; await ready
	checkpoint; kill_all
	CKPT_MASK=namespaces restart; resume; await ready
	checkpoint; resume
	expect_exit 0
done
