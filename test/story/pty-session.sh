# SPDX-License-Identifier: MIT
# A session on a terminal of the job's own: leader, foreground and background.
# run-as: user root
survives pty-session
