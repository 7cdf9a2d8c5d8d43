# SPDX-License-Identifier: MIT
# Restarted from another working directory, where the checkpoint is relative.
launch counter; await ready
checkpoint; kill_all
cd "$CKPTDIR" || fail cd
RESTART_DIR=.
restart
resume
expect_exit 0
