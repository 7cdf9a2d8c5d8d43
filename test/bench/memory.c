/* SPDX-License-Identifier: MIT */
/*
 * A process of a given size, for stop, write and restart times.
 *
 *	memory MIB random|half|zero small|huge THREADS
 *
 * Prints "ready", then a line "gap FROM TO" (CLOCK_REALTIME, ns) for every
 * time its heartbeat, once a millisecond, was late by more than two. With
 * "fork" as a fifth argument it prints instead how long a bare fork() takes
 * in a process of this size ("fork NS", five times) and ends.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint64_t now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void *wait_forever(void *arg)
{
	(void)arg;
	for (;;)
		pause();
	return NULL;
}

static void fill(uint64_t *memory, uint64_t bytes, const char *kind)
{
	uint64_t state = 88172645463325252u;

	if (!strcmp(kind, "zero")) {
		for (uint64_t at = 0; at < bytes; at += 4096)
			*(volatile char *)((char *)memory + at) = 0;
		return;
	}
	for (uint64_t i = 0; i < bytes / 8; i++) {
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		/* "half": every second 256 bytes are the same few words */
		memory[i] = !strcmp(kind, "half") && (i & 32) ? i & 3 : state;
	}
}

int main(int argc, char **argv)
{
	uint64_t bytes, last;
	char *memory;
	pthread_attr_t attr;

	if (argc < 5) {
		fprintf(stderr, "usage: memory MIB random|half|zero small|huge THREADS [fork]\n");
		return 2;
	}
	bytes = strtoull(argv[1], NULL, 10) << 20;
	memory = mmap(NULL, bytes + (2 << 20), PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return 1;
	memory = (char *)(((uintptr_t)memory + (2 << 20) - 1) & ~(uintptr_t)((2 << 20) - 1));
	madvise(memory, bytes, strcmp(argv[3], "huge") ? MADV_NOHUGEPAGE : MADV_HUGEPAGE);
	fill((uint64_t *)memory, bytes, argv[2]);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 65536);
	for (int i = atoi(argv[4]); i > 1; i--) {
		pthread_t thread;

		if (pthread_create(&thread, &attr, wait_forever, NULL))
			return 1;
	}
	if (argc > 5) {
		for (int i = 0; i < 5; i++) {
			uint64_t start = now(CLOCK_MONOTONIC);
			pid_t pid = fork();

			if (pid == 0)
				_exit(0);
			printf("fork %lu\n", (unsigned long)(now(CLOCK_MONOTONIC) - start));
			waitpid(pid, NULL, 0);
		}
		return 0;
	}
	puts("ready");
	fflush(stdout);
	last = now(CLOCK_REALTIME);
	for (;;) {
		struct timespec beat = {0, 1000000};
		uint64_t t;

		nanosleep(&beat, NULL);
		t = now(CLOCK_REALTIME);
		if (t - last > 3000000) {
			printf("gap %lu %lu\n", (unsigned long)last, (unsigned long)t);
			fflush(stdout);
		}
		last = t;
	}
}
