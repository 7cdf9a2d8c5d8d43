/* SPDX-License-Identifier: MIT */
/*
 * So many TCP connections between two processes, each with something unread
 * both ways. Says "ready", then "gap FROM TO" (CLOCK_REALTIME, ns) whenever it stood still.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
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

int main(int argc, char **argv)
{
	int count = argc > 1 ? atoi(argv[1]) : 200, i, on = 1;
	int server = socket(AF_INET, SOCK_STREAM, 0);
	struct sockaddr_in at = {.sin_family = AF_INET};
	socklen_t length = sizeof(at);
	int *calling = calloc((size_t)count + 1, sizeof(int));
	int *called = calloc((size_t)count + 1, sizeof(int));
	struct rlimit limit;
	char data[1000] = {0};
	uint64_t last;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(server, (void *)&at, length) < 0 || listen(server, 16) < 0 ||
	    getsockname(server, (void *)&at, &length) < 0)
		return 1;
	for (i = 0; i < count; i++) {
		calling[i] = socket(AF_INET, SOCK_STREAM, 0);
		if (connect(calling[i], (void *)&at, length) < 0)
			return 1;
		called[i] = accept(server, NULL, NULL);
		if (write(calling[i], data, sizeof(data)) < 0 ||
		    write(called[i], data, sizeof(data)) < 0)
			return 1;
	}
	if (fork() == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (i = 0; i < count; i++)
			close(calling[i]);
		for (;;)
			pause();
	}
	for (i = 0; i < count; i++)
		close(called[i]);
	puts("ready");
	fflush(stdout);
	last = now(CLOCK_REALTIME);
	for (;;) {
		uint64_t time;

		usleep(200);
		time = now(CLOCK_REALTIME);
		if (time - last > 2000000) {
			printf("gap %llu %llu\n",
			       (unsigned long long)last,
			       (unsigned long long)time);
			fflush(stdout);
		}
		last = time;
	}
}
