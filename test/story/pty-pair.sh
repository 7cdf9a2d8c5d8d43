# SPDX-License-Identifier: MIT
# Both sides of pseudo-terminals in one process keep all that waits in them.
# run-as: user root
survives pty-pair
