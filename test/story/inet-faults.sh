# SPDX-License-Identifier: MIT
# Whatever phase of a checkpoint fails, every stream goes on to the byte; so
# it does after a process was killed in one.
start_coordinator
launch tree-inet; await ready
for phase in prepare stop capture snapshot release write commit; do
	check_fails bounded env CKPT_FAULT="$phase:EIO" \
		ckpt_command -p "$PORT" -c
done
resume; await ready
check_fails bounded env CKPT_FAULT=capture:EIO ckpt_command -p "$PORT" -c
resume
expect_exit 0
