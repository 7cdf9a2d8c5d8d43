# SPDX-License-Identifier: MIT
# Pipes within a program: content, capacity, packets, ends that are closed; a FIFO.
# run-as: user root
survives pipe-content
