# SPDX-License-Identifier: MIT
# ucontext coroutines on 16 KiB stacks.
# run-as: user root
# timeout: 300
play coroutines GATE
