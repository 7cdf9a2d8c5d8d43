# SPDX-License-Identifier: MIT
# A child that the library is not in: the checkpoint is refused, naming it.
# Without it, or when it is to be ignored, there is one.
launch parent "$(app_path stranger)"
await ready
checkpoint_fails
expect_said '\(stranger\) cannot be checkpointed'
expect_nothing_partial
resume; await ready
checkpoint; kill_all; restart; resume
expect_exit 0
