# SPDX-License-Identifier: MIT
# Nothing of ckpt is seen from inside a program: at first, after a checkpoint,
# after a restart and after a checkpoint in the second life.
launch dormant
await ready; resume
await ready; checkpoint; resume
await ready; checkpoint; kill_all; restart
resume
expect_exit 0
