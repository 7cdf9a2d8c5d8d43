# SPDX-License-Identifier: MIT
# A server listens on at its port, a datagram socket at its own.
# run-as: user root
survives inet-server
