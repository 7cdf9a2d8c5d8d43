# SPDX-License-Identifier: MIT
# Ticks that come faster than they can be taken do not keep a checkpoint from
# being made, and none is counted twice.
survives timers-fast
