# SPDX-License-Identifier: MIT
# Whatever phase of a checkpoint fails, nothing stays attached, no message is
# lost and nobody asleep is woken.
start_coordinator
for program in ipc-segments ipc-queues ipc-mqueue ipc-locks; do
	launch "$program"; await ready
	for phase in capture snapshot release write commit; do
		check_fails bounded env CKPT_FAULT="$phase:EIO" \
			ckpt_command -p "$PORT" -c
	done
	resume; await ready
	checkpoint; resume; await ready
	checkpoint; resume
	expect_exit 0
done
