# SPDX-License-Identifier: MIT
# MPI jobs over two nodes of Slurm's, as README.md, "Batch systems", has them:
# checkpointed, queued again, they go on.
# run-as: root
# unshare: --mount --net --pid --fork --kill-child
# needs: ip sshd ssh ssh-keygen nsenter setpriv slurmctld slurmd sbatch scontrol scancel munged mpicc.openmpi mpirun.openmpi mpicc.mpich mpiexec.mpich
hosts a b
slurm a b
[ -f "$CKPT_SOURCE/README.md" ] || skip "README.md is not here"
mpi_pair

for kind in "Open MPI" MPICH; do
	rm -rf ckpts gate out
	readme_job "$kind"
	submit job.sh
	until grep -qs '^ready' out; do
		[[ $(job_says) != *@(FAILED|COMPLETED)* ]] ||
			fail "$kind: $(cat out)"
	done
	next_turn 1
	: >gate
	await_job
	expect_file out '^done.* ok$'
done
