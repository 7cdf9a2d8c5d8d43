# SPDX-License-Identifier: MIT
# TCP connections between two processes go on, whatever state they are in.
# run-as: user root
survives tree-inet
