# SPDX-License-Identifier: MIT
# Memory of every kind that one process can have.
# run-as: user root
play memory-kinds GATE WORK
