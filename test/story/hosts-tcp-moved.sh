# SPDX-License-Identifier: MIT
# TCP connections in many states between two hosts that swap places, become one
# and two again: where the old addresses are not, others take their place, and
# the report says so.
# run-as: root
# unshare: --mount --net --pid --fork --kill-child
# needs: ip sshd ssh ssh-keygen nsenter setpriv
hosts a b
start_coordinator_on a
launch_on a hosts-tcp serve 5000 4
launch_on b hosts-tcp call a 5000 4
go_on() {
	resume_on a; resume_on b; await ready; await ready
}
await ready; await ready
checkpoint; kill_all
say "swapped"
restart_on b --map a=b --map b=a; go_on
expect_file "$STORY_DIR/restart.err" \
	'from 10.77.0.2:[0-9]* to 10.77.0.1:500[0-9] goes from 10.77.0.1:[0-9]* to 10.77.0.2:500[0-9] now'
expect_file "$STORY_DIR/restart.err" \
	'[0-9]* more connections to other hosts go over other addresses'
check on a ckpt_image show "$CKPTDIR" >"$STORY_DIR/shown"
expect_file "$STORY_DIR/shown" 'TCP .* to .*another host group'
checkpoint; kill_all
say "all on one"
restart_on a --hosts a; go_on
checkpoint; kill_all
say "two again"
restart_on a --hosts a,b; go_on
checkpoint; kill_all
restart_on a --hosts a,b; resume_on a; resume_on b
expect_exit 0
