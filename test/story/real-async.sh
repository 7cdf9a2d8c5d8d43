# SPDX-License-Identifier: MIT
# C++: std::async, exceptions always in flight.
# run-as: user root
# timeout: 300
play async GATE
