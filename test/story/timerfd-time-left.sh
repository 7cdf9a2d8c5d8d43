# SPDX-License-Identifier: MIT
# Time left, interval and unread ticks of timerfds.
# run-as: user root
survives timerfd-time-left
