# SPDX-License-Identifier: MIT
# Both sides of pseudo-terminals in one process keep all that waits in them,
# also when the checkpoint fails once they have been looked at.
# run-as: user root
launch pty-pair; await ready
for phase in snapshot release write; do
	check_fails bounded env CKPT_FAULT="$phase:EIO" \
		ckpt_command -p "$PORT" -c
	expect_said "$phase"
done
checkpoint; resume; await ready
checkpoint; kill_all; restart; resume
expect_exit 0
