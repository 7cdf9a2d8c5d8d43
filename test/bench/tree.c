/* SPDX-License-Identifier: MIT */
/*
 * A tree of small processes, or one process with many descriptors.
 *
 *	tree processes N	N children, each asleep, a pipe to each
 *	tree descriptors N	N descriptors: files, pipes, socket pairs,
 *				eventfds, in equal parts
 *
 * Prints "ready", then, like memory, a line "gap FROM TO" for every time its
 * heartbeat was late.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static uint64_t now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void processes(int count)
{
	for (int i = 0; i < count; i++) {
		int ends[2];
		pid_t pid;

		if (pipe(ends) < 0)
			exit(1);
		pid = fork();
		if (pid < 0)
			exit(1);
		if (pid == 0) {
			char byte;

			close(ends[1]);
			_exit(read(ends[0], &byte, 1) != 0);
		}
		close(ends[0]);
		fcntl(ends[1], F_SETFD, FD_CLOEXEC);
		if (dup2(ends[1], 3) < 0) /* one is enough */
			exit(1);
		if (ends[1] != 3)
			close(ends[1]);
	}
}

static void descriptors(int count)
{
	struct rlimit limit;
	char path[64];

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	for (int i = 0; i < count; i++) {
		int two[2], ret = 0;

		switch (i % 6) {
		case 0:
			ret = pipe(two);
			i++;
			break;
		case 2:
			ret = socketpair(AF_UNIX, SOCK_STREAM, 0, two);
			i++;
			break;
		case 4:
			snprintf(path, sizeof(path), "file-%d", i / 6);
			ret = open(path, O_RDWR | O_CREAT, 0600);
			break;
		default:
			ret = eventfd(1, 0);
		}
		if (ret < 0) {
			perror("descriptors");
			exit(1);
		}
	}
}

int main(int argc, char **argv)
{
	uint64_t last;

	if (argc < 3) {
		fprintf(stderr, "usage: tree processes|descriptors N\n");
		return 2;
	}
	if (!strcmp(argv[1], "processes"))
		processes(atoi(argv[2]));
	else
		descriptors(atoi(argv[2]));
	printf("ready\n");
	fflush(stdout);
	last = now(CLOCK_REALTIME);
	for (;;) {
		struct timespec nap = {0, 1000000};
		uint64_t here;

		nanosleep(&nap, NULL);
		here = now(CLOCK_REALTIME);
		if (here - last > 3000000) {
			printf("gap %llu %llu\n", (unsigned long long)last,
			       (unsigned long long)here);
			fflush(stdout);
		}
		last = here;
	}
}
