# SPDX-License-Identifier: MIT
# A program that has made itself undumpable: its /proc is root's.
for LAUNCH_OPTIONS in '' --sync; do
	launch undumpable; await ready
	checkpoint; checkpoint
	kill_all; restart; resume; await ready
	checkpoint; checkpoint
	kill_all; restart; resume
	expect_exit 0
done
