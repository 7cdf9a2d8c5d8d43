# SPDX-License-Identifier: MIT
# The same for calls on what a restart cannot bring back yet: whether the
# checkpoint succeeds or is refused, they go on.
launch blocked-calls all; await ready
bounded ckpt_command -p "$PORT" -c >&2 || :
bounded ckpt_command -p "$PORT" -c >&2 || :
resume
expect_exit 0
