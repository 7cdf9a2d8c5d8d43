# SPDX-License-Identifier: MIT
# Event objects that processes share, and pidfds of each other.
# run-as: user root
survives tree-events
