# SPDX-License-Identifier: MIT
# Checkpoints by themselves, every second.
start_coordinator -i 1
launch counter; await ready
deadline=$((SECONDS + PATIENCE))
until [ "$(status_field generation)" -ge 2 ]; do
	[ "$SECONDS" -lt "$deadline" ] || fail "no checkpoint"
done
check ask -i 0
kill_all; restart; resume
expect_exit 0
