# SPDX-License-Identifier: MIT
# Entries of an epoll: data, edge, one-shot fired, nested, closed but registered.
# run-as: user root
survives epoll-entries
