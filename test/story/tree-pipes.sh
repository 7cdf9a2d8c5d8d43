# SPDX-License-Identifier: MIT
# Pipes between processes: content, packets, those who wait at them, their end.
# run-as: user root
survives tree-pipes
