# SPDX-License-Identifier: MIT
# Mapped files in odd places are found, or their content is kept.
# run-as: user root
for LAUNCH_OPTIONS in '' --sync; do
	launch memory-files; await ready
	checkpoint; checkpoint
	kill_all; restart; resume; await ready
	checkpoint
	kill_all; restart; resume
	expect_exit 0
done
