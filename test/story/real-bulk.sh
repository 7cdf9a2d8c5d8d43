# SPDX-License-Identifier: MIT
# Bulk transfer over TCP both ways at once, to the byte.
# run-as: user root
# timeout: 300
play bulk GATE
