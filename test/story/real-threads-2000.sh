# SPDX-License-Identifier: MIT
# Two thousand threads.
# run-as: user root
# timeout: 300
play threads-2000 GATE
