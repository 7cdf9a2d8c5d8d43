# SPDX-License-Identifier: MIT
# The checkpoint directory is on a disk of its own on each host, under one name.
# Checkpoints by interval hold all hosts; each host restarts from its own, and
# goes on to another; a host that has not got the images says so.
# run-as: root
# unshare: --mount --net --pid --fork --kill-child
# needs: ip sshd ssh ssh-keygen nsenter setpriv
CKPTDIR=/run/disk
hosts a b
for name in a b; do
	mkdir -m 777 "$STORY_DIR/disk-$name"
	nsenter -t "${HOST_PID[$name]}" -m sh -c '
		mkdir /run/disk && mount --bind "$1" /run/disk &&
		mkdir -m 777 /run/other' _ "$STORY_DIR/disk-$name"
done
start_coordinator_on a
launch_on a counter 3; await ready
launch_on b counter 3; await ready
checkpoint
resume_on a; resume_on b; await ready; await ready
ask -i 1
until [ "$(status_field generation)" -ge 3 ]; do :; done
ask -i 0
ask -s
check on b ckpt_image verify "$CKPTDIR"
for name in a b; do
	check [ "$(find "$STORY_DIR/disk-$name"/*/gen-* -name manifest.json |
		wc -l)" -eq 2 ]
done
check [ -z "$(find "$STORY_DIR/disk-b" -name 'group-0*')" ]
kill_all
restart_on a --hosts a,b
await_running
resume_on a; resume_on b; await ready; await ready
checkpoint; kill_all
say "the images of one are not on the disk of the other"
: >"$STORY_DIR/restart.err"
restart_on a --map a=b --map b=a
expect_exit 99
cp "$STORY_DIR/restart.err" "$STORY_DIR/said"
expect_said '/run/disk/.*/group-1-proc-[0-9]*.img: No such file'
expect_status processes 0
say "to other disks"
restart_on a --hosts a,b -d /run/other
await_running
checkpoint; kill_all
check on b sh -c 'ls /run/other/*/gen-*/group-1-proc-*.img'
RESTART_DIR=/run/other
restart_on a --hosts a,b; resume_on b; resume_on a
expect_exit 0
# The job's end is that of the first.
until [ "$(grep -c 'counted to 3000' "$STORY_DIR/out")" -eq 2 ]; do :; done
