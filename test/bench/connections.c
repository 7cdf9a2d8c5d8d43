/* SPDX-License-Identifier: MIT */
/*
 * connections COUNT [PORT [ADDRESS]]
 *
 * So many TCP connections between two processes, each with something unread
 * both ways: both here, or one that listens at the port and one, on another
 * host, that calls it. Says "ready", then "gap FROM TO" (CLOCK_REALTIME, ns) whenever it stood still.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
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

static int serve(struct sockaddr_in *at)
{
	int server = socket(AF_INET, SOCK_STREAM, 0), on = 1;
	socklen_t length = sizeof(*at);

	setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(server, (void *)at, length) < 0 || listen(server, 64) < 0 ||
	    getsockname(server, (void *)at, &length) < 0)
		exit(1);
	return server;
}

static int call(const struct sockaddr_in *at)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	/* Who is to be called may not be there yet. */
	while (connect(fd, (const void *)at, sizeof(*at)) < 0) {
		if (errno != ECONNREFUSED)
			exit(1);
		close(fd);
		usleep(10000);
		fd = socket(AF_INET, SOCK_STREAM, 0);
	}
	return fd;
}

static void send_some(int fd)
{
	static const char data[1000];

	if (write(fd, data, sizeof(data)) < 0)
		exit(1);
}

/* Two processes here. */
static void pairs(int count)
{
	struct sockaddr_in at = {.sin_family = AF_INET};
	int *calling = calloc((size_t)count + 1, sizeof(int));
	int *called = calloc((size_t)count + 1, sizeof(int));
	int server, i;

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	server = serve(&at);
	for (i = 0; i < count; i++) {
		calling[i] = call(&at);
		called[i] = accept(server, NULL, NULL);
		send_some(calling[i]);
		send_some(called[i]);
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
}

int main(int argc, char **argv)
{
	int count = argc > 1 ? atoi(argv[1]) : 200, server, i;
	struct sockaddr_in at = {.sin_family = AF_INET};
	struct rlimit limit;
	uint64_t last;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	if (argc < 3) {
		pairs(count);
	} else {
		at.sin_port = htons((uint16_t)atoi(argv[2]));
		if (argc > 3 && inet_pton(AF_INET, argv[3], &at.sin_addr) != 1)
			return 1;
		server = argc > 3 ? -1 : serve(&at);
		for (i = 0; i < count; i++)
			send_some(server < 0 ? call(&at) :
					       accept(server, NULL, NULL));
	}
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
