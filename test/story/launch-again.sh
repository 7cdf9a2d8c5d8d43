# SPDX-License-Identifier: MIT
# What a program was launched with goes on to hold after a restart: here one
# generation is kept, not compressed.
LAUNCH_OPTIONS='--keep 1 --compress none'
launch counter; await ready; checkpoint
kill_all; restart; await_running
checkpoint; checkpoint
[ "$(find "$CKPTDIR" -name 'gen-*' -type d | wc -l)" = 1 ] ||
	fail "more than one generation: $(find "$CKPTDIR" -name 'gen-*')"
expect_said '100 %'
resume; expect_exit 0
