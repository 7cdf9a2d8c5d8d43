# SPDX-License-Identifier: MIT
# Unix sockets in rare states.
# run-as: user root
survives unixsock-corners
