# SPDX-License-Identifier: MIT
# Pseudo-terminals that are nobody's controlling terminal.
# run-as: user root
survives pty-plain
