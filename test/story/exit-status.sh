# SPDX-License-Identifier: MIT
# How a program ends is seen outside as it would be without us, in every life.
for status in 0 1 42 255; do
	launch exit-status "$status"
	expect_exit "$status"
done
launch exit-status -15; expect_signal TERM
launch exit-status -6; expect_signal ABRT

launch exit-status 42 later; await ready
checkpoint; kill_all; restart; resume
expect_exit 42
