# SPDX-License-Identifier: MIT
# MPICH, four ranks on one host, in the middle of large and small messages.
# needs: mpicc.mpich mpiexec.mpich
# timeout: 300
mpicc.mpich -O2 -w -o "$STORY_DIR/halo" "$CKPT_SOURCE/test/real/mpi/halo.c" ||
	skip "MPICH cannot build a program here"
play mpiexec.mpich -n 4 "$STORY_DIR/halo" GATE
