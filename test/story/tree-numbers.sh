# SPDX-License-Identifier: MIT
# What processes share stands at other numbers in each, where others of them
# have something else.
survives tree-numbers
