# SPDX-License-Identifier: MIT
# POSIX timers keep id, rest and target; a periodic one counts no tick twice.
# run-as: user root
survives timers-kept
