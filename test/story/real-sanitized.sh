# SPDX-License-Identifier: MIT
# AddressSanitizer: terabytes reserved, a malloc and a memcpy of its own.
# run-as: user root
play sanitized GATE
