# SPDX-License-Identifier: MIT
# A signalfd keeps its mask and shows what was pending.
# run-as: user root
survives signalfd-mask
