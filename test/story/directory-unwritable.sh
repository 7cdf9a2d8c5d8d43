# SPDX-License-Identifier: MIT
# A checkpoint directory where nothing can be written.
launch counter 2
await ready; checkpoint
chmod 500 "$CKPTDIR"/*
checkpoint_fails
expect_said '[Pp]ermission|denied'
chmod 700 "$CKPTDIR"/*
resume; await ready; resume
expect_exit 0
