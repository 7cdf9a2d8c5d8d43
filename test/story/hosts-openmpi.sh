# SPDX-License-Identifier: MIT
# Open MPI over two hosts: the stock mpiexec starts its daemons there by ssh,
# all of it becomes one computation, and checkpoints leave the job alone.
# run-as: root
# unshare: --mount --net --pid --fork --kill-child
# needs: ip sshd ssh ssh-keygen nsenter setpriv mpicc.openmpi mpiexec.openmpi
hosts a b
mpicc.openmpi -O2 -w -o "$STORY_DIR/halo" "$CKPT_SOURCE/test/real/mpi/halo.c" ||
	skip "Open MPI cannot build a program here"
start_coordinator_on a
launch_on a mpiexec.openmpi --host a:2,b:2 "$STORY_DIR/halo" "$STORY_DIR/gate"
await_output '^ready'
expect_status host_groups 2
checkpoint
checkpoint
: >"$STORY_DIR/gate"
expect_exit 0
expect_file "$STORY_DIR/out" '^done.* ok$'
