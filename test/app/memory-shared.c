/* SPDX-License-Identifier: MIT */
/*
 * Shared memory is what it was at the same instant as private memory, though
 * it changes all the time and takes a while to write: each round counts in
 * private memory, then in every page of a shared one, first to last.
 */
#include "story.h"

#include <pthread.h>
#include <sys/mman.h>

#define PAGES 4096ul

static volatile unsigned long round_now;
static volatile int finish;
static struct page {
	volatile unsigned long round;
	char rest[4096 - sizeof(long)];
} *shared, *again;

static void *counting(void *arg)
{
	while (!finish) {
		round_now++;
		for (size_t i = 0; i < PAGES; i++)
			shared[i].round = round_now;
	}
	return arg;
}

/* As the one that stopped somewhere in a round has left it. */
static void expect_one_round(void)
{
	unsigned long first = shared[0].round, last = shared[PAGES - 1].round;
	size_t i, steps = 0;

	check(first == round_now || first == round_now - 1);
	check(last == first || last == first - 1);
	for (i = 1; i < PAGES; i++) {
		check(shared[i].round == shared[i - 1].round ||
		      shared[i].round == shared[i - 1].round - 1);
		steps += shared[i].round != shared[i - 1].round;
	}
	check(steps <= 1);
}

int main(void)
{
	pthread_t thread;
	int memory = memfd_create("shared", MFD_CLOEXEC);

	check(memory >= 0 && ftruncate(memory, PAGES * 4096) == 0);
	shared = mmap(NULL, PAGES * 4096, PROT_READ | PROT_WRITE, MAP_SHARED,
		      memory, 0);
	again = mmap(NULL, PAGES * 4096, PROT_READ, MAP_SHARED, memory, 0);
	check(shared != MAP_FAILED && again != MAP_FAILED);
	close(memory);
	check(pthread_create(&thread, NULL, counting, NULL) == 0);
	while (round_now < 3)
		;
	story_say("ready");
	story_wait();
	finish = 1;
	pthread_join(thread, NULL);
	expect_one_round();
	for (size_t i = 0; i < PAGES; i++)
		check(again[i].round == shared[i].round);
	shared[7].round = 42;
	check(again[7].round == 42);
	return 0;
}
