# SPDX-License-Identifier: MIT
# TCP connections in every state, both ends in one process, go on.
# run-as: user root
survives inet-streams
