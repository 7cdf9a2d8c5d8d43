# SPDX-License-Identifier: MIT
# Unix sockets between processes: queues, names, callers not accepted yet, who is there, descriptors on their way.
# run-as: user root
survives tree-unixsock
