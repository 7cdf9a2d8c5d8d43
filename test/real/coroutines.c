/* SPDX-License-Identifier: MIT */
/* Two hundred ucontext coroutines on 16 KiB stacks, scheduled round robin
 * until the gate file exists; then their sums are checked. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <ucontext.h>
#include <unistd.h>

#define COUNT 200

static ucontext_t scheduler, routine[COUNT];
static uint64_t value[COUNT], rounds;
static int finish;

static void body(int me)
{
	volatile uint64_t mine = (uint64_t)me; /* lives on this stack */

	while (!finish) {
		for (int i = 0; i < 200; i++)
			mine = mine * 6364136223846793005u + 1;
		value[me] = mine;
		swapcontext(&routine[me], &scheduler);
	}
}

int main(int argc, char **argv)
{
	int bad = 0;

	(void)argc;
	for (int i = 0; i < COUNT; i++) {
		getcontext(&routine[i]);
		routine[i].uc_stack.ss_sp = malloc(16384);
		routine[i].uc_stack.ss_size = 16384;
		routine[i].uc_link = &scheduler;
		makecontext(&routine[i], (void (*)(void))body, 1, i);
	}
	while (access(argv[1], F_OK) != 0 || rounds < 20) {
		for (int i = 0; i < COUNT; i++)
			swapcontext(&scheduler, &routine[i]);
		if (++rounds == 10) {
			puts("ready");
			fflush(stdout);
		}
	}
	finish = 1;
	for (int i = 0; i < COUNT; i++) {
		uint64_t expect = (uint64_t)i;

		for (uint64_t r = 0; r < rounds * 200; r++)
			expect = expect * 6364136223846793005u + 1;
		bad += expect != value[i];
	}
	printf("done rounds=%lu %s\n", (unsigned long)rounds, bad ? "WRONG" : "ok");
	return bad != 0;
}
