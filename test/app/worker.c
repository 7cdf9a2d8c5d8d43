/* SPDX-License-Identifier: MIT */
/* Four threads count and check a block of random memory (argv[1] MiB) as long
 * as they live; "round" is said after each thousand, so that a story sees
 * them go on. Ends when the file "gate" is there. */
#include "story.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/random.h>
#include <time.h>

static atomic_ulong rounds;
static uint32_t *block, sum;
static size_t words;

static uint32_t add_up(void)
{
	uint32_t all = 0;

	for (size_t i = 0; i < words; i += 1024)
		all += block[i];
	return all;
}

static void *count(void *unused)
{
	const struct timespec pause = {0, 1000000};

	(void)unused;
	for (;;) {
		check(add_up() == sum);
		rounds++;
		check(nanosleep(&pause, NULL) == 0);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	const struct timespec pause = {0, 5000000};
	size_t size = (size_t)(argc > 1 ? atoi(argv[1]) : 16) << 20;
	pthread_t thread;
	char gate[4096];

	story_path(gate, sizeof(gate), "gate");
	words = size / sizeof(*block);
	block = malloc(size);
	check(block != NULL);
	for (size_t at = 0; at < size;) {
		ssize_t n = getrandom((char *)block + at, size - at, 0);

		check(n > 0);
		at += (size_t)n;
	}
	sum = add_up();
	for (int i = 0; i < 4; i++)
		check(pthread_create(&thread, NULL, count, NULL) == 0);
	printf("ready\n");
	fflush(stdout);
	for (unsigned long seen = 0; access(gate, F_OK) < 0;) {
		check(nanosleep(&pause, NULL) == 0);
		if (rounds < seen + 100)
			continue;
		seen = rounds;
		printf("round %lu\n", seen);
		fflush(stdout);
	}
	printf("done, all ok\n");
	return 0;
}
