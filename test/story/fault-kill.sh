# SPDX-License-Identifier: MIT
# -kc kills nothing when the checkpoint fails.
launch counter 3; await ready
check_fails bounded env CKPT_FAULT=commit:ENOSPC ckpt_command -p "$PORT" -kc
expect_said 'commit'
resume; await ready
check ask -kc
expect_signal KILL
restart; resume; await ready; resume
expect_exit 0
