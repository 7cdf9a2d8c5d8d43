# SPDX-License-Identifier: MIT
# Every attribute of a process and of its threads.
# run-as: user root
play attributes GATE
