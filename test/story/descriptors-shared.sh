# SPDX-License-Identifier: MIT
# Descriptors that share a description are told from those that do not, also
# where the kernel has no kcmp().
for CKPT_MASK in none kcmp; do
	export CKPT_MASK
	launch descriptors-shared; await ready
	checkpoint; checkpoint
	kill_all; restart; resume; await ready
	checkpoint
	kill_all; restart; resume
	expect_exit 0
done
