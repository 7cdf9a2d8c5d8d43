# SPDX-License-Identifier: MIT
# OpenMP: parallel loops.
# run-as: user root
# timeout: 300
play openmp GATE
