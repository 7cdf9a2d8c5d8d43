# SPDX-License-Identifier: MIT
# A restarted program that is killed by a signal ends ckpt_restart by it.
launch exit-status -15 later; await ready
checkpoint; kill_all; restart; resume
expect_signal TERM
