# SPDX-License-Identifier: MIT
# --ignore-foreign: the checkpoint is without the child that cannot be in it.
LAUNCH_OPTIONS=--ignore-foreign launch parent "$(app_path stranger)"
await ready
checkpoint
resume; await ready; resume
expect_exit 0
