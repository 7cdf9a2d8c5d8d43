/* SPDX-License-Identifier: MIT */
/* MPI: neighbours exchange borders (small) and fields (1 MiB), all that always
 * on its way, and everybody sums. Until the file argv[1] exists; then the sum
 * is what it must be after so many steps, to the last bit, or not. */
#include <mpi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FIELD (1 << 17)

static uint64_t value(int rank, uint64_t step, int i)
{
	return (uint64_t)rank * 1000003 + step * 7919 + (uint64_t)i;
}

int main(int argc, char **argv)
{
	uint64_t *out = malloc(8 * FIELD), *in = malloc(8 * FIELD);
	uint64_t border, got, sum, expected, step, bad = 0, all;
	int rank, size, left, right, stop = 0, i;
	MPI_Request requests[4];

	MPI_Init(&argc, &argv);
	MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	MPI_Comm_size(MPI_COMM_WORLD, &size);
	left = (rank + size - 1) % size;
	right = (rank + 1) % size;
	if (!rank) {
		puts("ready");
		fflush(stdout);
	}
	for (step = 0; !stop; step++) {
		for (i = 0; i < FIELD; i++)
			out[i] = value(rank, step, i);
		border = value(rank, step, -1);
		MPI_Irecv(in, FIELD, MPI_UINT64_T, left, 1, MPI_COMM_WORLD,
			  &requests[0]);
		MPI_Irecv(&got, 1, MPI_UINT64_T, right, 2, MPI_COMM_WORLD,
			  &requests[1]);
		MPI_Isend(out, FIELD, MPI_UINT64_T, right, 1, MPI_COMM_WORLD,
			  &requests[2]);
		MPI_Isend(&border, 1, MPI_UINT64_T, left, 2, MPI_COMM_WORLD,
			  &requests[3]);
		MPI_Waitall(4, requests, MPI_STATUSES_IGNORE);
		for (i = 0; i < FIELD; i++)
			bad += in[i] != value(left, step, i);
		bad += got != value(right, step, -1);
		MPI_Allreduce(&border, &sum, 1, MPI_UINT64_T, MPI_SUM,
			      MPI_COMM_WORLD);
		for (expected = 0, i = 0; i < size; i++)
			expected += value(i, step, -1);
		bad += sum != expected;
		stop = !rank && access(argv[1], F_OK) == 0;
		MPI_Bcast(&stop, 1, MPI_INT, 0, MPI_COMM_WORLD);
	}
	MPI_Reduce(&bad, &all, 1, MPI_UINT64_T, MPI_SUM, 0, MPI_COMM_WORLD);
	if (!rank)
		printf("done %llu steps, %llu bad %s\n",
		       (unsigned long long)step, (unsigned long long)all,
		       all ? "wrong" : "ok");
	/* Nothing may be on its way: see mpich-end.c. */
	MPI_Barrier(MPI_COMM_WORLD);
	MPI_Finalize();
	return 0;
}
