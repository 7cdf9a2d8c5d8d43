# SPDX-License-Identifier: MIT
# When one host group cannot be restarted, none is: whoever fails says why, and
# nothing is left behind on any host.
# run-as: root
# unshare: --mount --net --pid --fork --kill-child
# needs: ip sshd ssh ssh-keygen nsenter setpriv
hosts a b
start_coordinator_on a
launch_on a counter; await ready
launch_on b counter; await ready
checkpoint; kill_all
refused() {
	: >"$STORY_DIR/restart.err"
	restart_on a "$@"
	expect_exit 99
	cp "$STORY_DIR/restart.err" "$STORY_DIR/said"
	expect_status processes 0
	check on b sh -c '! ls -d /run/story/ckpt/*-*/'
}
refused --hosts a,nowhere
expect_said 'host group 1 could not be restarted on nowhere'
expect_said 'nowhere cannot be brought in by ssh'
refused --map c=a
expect_said 'nothing ran on c'
image=$(echo "$CKPTDIR"/*/gen-000001/group-1-*.img)
cp "$image" "$STORY_DIR/whole"
printf 'x' | dd of="$image" bs=1 seek=100 conv=notrunc status=none
refused --hosts a,b
expect_said 'group-1-proc-.*img'
expect_said 'host group 1 could not be restarted on b'
cat "$STORY_DIR/whole" >"$image"
restart_on a --hosts b,a; resume_on a; resume_on b
expect_exit 0
