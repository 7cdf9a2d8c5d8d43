# SPDX-License-Identifier: MIT
# Counter, semaphore mode and flags of eventfds; a reader that blocks.
# run-as: user root
survives eventfd-counter
