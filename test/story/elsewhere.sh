# SPDX-License-Identifier: MIT
# Restarted from another working directory, where the checkpoint is relative.
launch counter; await ready
checkpoint; kill_all
cd "$CKPTDIR" || fail cd
restart .
resume
expect_exit 0
