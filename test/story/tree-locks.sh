# SPDX-License-Identifier: MIT
# Locks on files that processes share: whose they are, who waits for one.
# run-as: user root
survives tree-locks
