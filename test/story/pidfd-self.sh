# SPDX-License-Identifier: MIT
# A pidfd of the program itself still means it.
# run-as: user root
survives pidfd-self
