# SPDX-License-Identifier: MIT
# mpi4py (on Open MPI), four ranks on one host.
# needs: mpiexec.openmpi /usr/bin/python3
# timeout: 300
/usr/bin/python3 -c 'import mpi4py' || skip "mpi4py is missing"
play mpiexec.openmpi --oversubscribe -n 4 \
	/usr/bin/python3 "$CKPT_SOURCE/test/real/mpi/halo.py" GATE
