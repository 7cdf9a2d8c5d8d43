# SPDX-License-Identifier: MIT
# Three hosts become two, one, and three again: each old host's processes in a
# capsule of their own, wherever it stands. The exit status is the first one's.
# run-as: root
# unshare: --mount --net --pid --fork --kill-child
# needs: ip sshd ssh ssh-keygen nsenter setpriv
hosts a b c
start_coordinator_on a
launch_on a counter 4; await ready
launch_on b counter 4; await ready
launch_on c counter 4; await ready
go_on() {
	resume_on a; resume_on b; resume_on c
	await ready; await ready; await ready
}
check ask -kc >"$STORY_DIR/said"
expect_file "$STORY_DIR/said" '3 processes'

say "three to two"
restart_on a --hosts a,b
await_running
expect_status host_groups 3
expect_status processes 3
go_on; check ask -kc >"$STORY_DIR/said"; wait_job >/dev/null
expect_file "$STORY_DIR/said" '3 processes'

say "two to one, by --map"
restart_on b --map a=b
await_running
go_on; checkpoint
check [ "$(on b ckpt_command -h a -p "$PORT" -l | grep -c '^b .*capsule')" -eq 3 ]
kill_all

say "one to three, each by itself as srun would"
restart_on c --group 2; job_c=$JOB
restart_on b --group 1; job_b=$JOB
restart_on a --group 0; job_a=$JOB
await_running
go_on
resume_on b; JOB=$job_b; expect_exit 0
resume_on c; JOB=$job_c; expect_exit 0
resume_on a; JOB=$job_a; expect_exit 0
check [ "$(grep -c 'counted to 4000' "$STORY_DIR/out")" -eq 3 ]
