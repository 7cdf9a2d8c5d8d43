# SPDX-License-Identifier: MIT
# A memfd that is sealed against writing and mapped shared is refused; when it
# is mapped no more, it is kept.
# run-as: user root
launch memfd-refused; await ready
checkpoint_fails
expect_said 'memfd.*sealed against writing and mapped shared'
resume; await ready
checkpoint; kill_all; restart; resume
expect_exit 0
