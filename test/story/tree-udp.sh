# SPDX-License-Identifier: MIT
# Datagrams that wait keep their senders; groups and options stay.
# run-as: user root
survives tree-udp
