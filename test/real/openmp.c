/* SPDX-License-Identifier: MIT */
/* BUILD: -fopenmp */
/* Parallel loops until the gate file exists; then all again from nothing. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define N 200000

static void one_round(uint64_t *a, uint64_t *b)
{
#pragma omp parallel for schedule(static)
	for (int i = 0; i < N; i++)
		b[i] = a[i] * 3 + a[(i + 1) % N] + a[(i * 7) % N];
#pragma omp parallel for schedule(dynamic, 1000)
	for (int i = 0; i < N; i++)
		a[i] = b[i] ^ (b[(i + N - 1) % N] >> 3);
}

static uint64_t sum(const uint64_t *a)
{
	uint64_t s = 0;

#pragma omp parallel for reduction(+ : s)
	for (int i = 0; i < N; i++)
		s += a[i];
	return s;
}

static uint64_t *start(void)
{
	uint64_t *a = malloc(N * sizeof(*a));

	for (int i = 0; i < N; i++)
		a[i] = (uint64_t)i * 2654435761u;
	return a;
}

int main(int argc, char **argv)
{
	uint64_t *a = start(), *b = calloc(N, sizeof(*b)), result, rounds = 0;

	(void)argc;
	while (access(argv[1], F_OK) != 0 || rounds < 20) {
		one_round(a, b);
		if (++rounds == 10) {
			puts("ready");
			fflush(stdout);
		}
	}
	result = sum(a);
	free(a);
	a = start();
	for (uint64_t r = 0; r < rounds; r++)
		one_round(a, b);
	printf("done rounds=%lu %s\n", (unsigned long)rounds,
	       sum(a) == result ? "ok" : "WRONG");
	return sum(a) == result ? 0 : 1;
}
