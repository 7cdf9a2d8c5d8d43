# SPDX-License-Identifier: MIT
# A memfd keeps content, seals and offset, mapped or not.
# run-as: user root
survives memfd-sealed
