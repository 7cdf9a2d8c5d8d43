# SPDX-License-Identifier: MIT
# Both sides of pseudo-terminals, all of them in two processes.
# run-as: user root
survives pty-pair shared
