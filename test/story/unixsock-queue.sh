# SPDX-License-Identifier: MIT
# Unix sockets within a program: queues, message bounds, half-close, a server with its name.
# run-as: user root
survives unixsock-queue
