# SPDX-License-Identifier: MIT
# Locks of every kind are held still: another description does not get them.
# run-as: user root
survives file-locks
