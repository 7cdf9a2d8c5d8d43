# SPDX-License-Identifier: MIT
# Ids of timers are counted up to where they cannot be asked for.
export CKPT_MASK=timer_ids
survives timers-kept
