# SPDX-License-Identifier: MIT
# Open MPI, four ranks on one host, in the middle of large and small messages.
# needs: mpicc.openmpi mpiexec.openmpi
# timeout: 300
mpicc.openmpi -O2 -w -o "$STORY_DIR/halo" "$CKPT_SOURCE/test/real/mpi/halo.c" ||
	skip "Open MPI cannot build a program here"
play mpiexec.openmpi --oversubscribe -n 4 "$STORY_DIR/halo" GATE
