# SPDX-License-Identifier: MIT
# Where tee() is not possible, pipes are emptied and filled again.
export CKPT_MASK=tee
survives pipe-content
