# SPDX-License-Identifier: MIT
# What cannot be saved is named, the program runs on, and later it can be.
# run-as: user root
launch refused-kinds; await ready
checkpoint_fails; expect_said '(fanotify|userfaultfd).*cannot be saved'
resume; await ready
checkpoint; kill_all; restart; resume
expect_exit 0
