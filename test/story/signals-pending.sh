# SPDX-License-Identifier: MIT
# Signals pending for the process and for threads come in order with what they carry.
# run-as: user root
survives signals-pending
