# SPDX-License-Identifier: MIT
# MPICH over two hosts: the stock mpiexec starts its ranks there by ssh, all
# of it becomes one computation. Checkpoints leave the job alone; it is
# restarted on the same hosts, on swapped ones, and all on one.
# run-as: root
# unshare: --mount --net --pid --fork --kill-child
# needs: ip sshd ssh ssh-keygen nsenter setpriv mpicc.mpich mpiexec.mpich
hosts a b
mpicc.mpich -O2 -w -o "$STORY_DIR/halo" "$CKPT_SOURCE"/test/real/mpi/{halo,mpich-end}.c ||
	skip "MPICH cannot build a program here"
start_coordinator_on a
launch_on a mpiexec.mpich -launcher ssh -hosts a,b -ppn 2 -n 4 \
	"$STORY_DIR/halo" "$STORY_DIR/gate"
await_output '^ready'
expect_status host_groups 2
checkpoint
checkpoint; kill_all
restart_on a --hosts a,b; await_running
checkpoint; kill_all
say "swapped"
restart_on b --map a=b --map b=a; await_running
checkpoint; kill_all
say "all on one"
restart_on a --hosts a; await_running
: >"$STORY_DIR/gate"
expect_exit 0
expect_file "$STORY_DIR/out" '^done.* ok$'
