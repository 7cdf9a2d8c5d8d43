# SPDX-License-Identifier: MIT
# Several numbers of one description in an epoll, numbers given to others,
# nesting; a timerfd that notices when the clock is set.
# run-as: user root
survives epoll-odd
