/* SPDX-License-Identifier: MIT */
/*
 * Two processes send to each other over TCP as fast as they can, both ways,
 * until the gate file exists; what each has sent, the other has to the byte.
 * BUILD: -pthread
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static int fd;
static const char *gate;
static volatile uint64_t sent, sent_sum, got, got_sum;

static void need(int truth, const char *what)
{
	if (truth)
		return;
	perror(what);
	_exit(1);
}

static uint64_t add(uint64_t sum, const uint64_t *words, size_t count)
{
	size_t i;

	for (i = 0; i < count; i++)
		sum = (sum ^ words[i]) * 0x100000001b3u;
	return sum;
}

static void *sender(void *unused)
{
	static uint64_t data[4096];
	uint64_t x = (uint64_t)getpid();
	size_t i, at;

	(void)unused;
	while (sent < 100 << 20 || access(gate, F_OK) < 0) {
		for (i = 0; i < 4096; i++) {
			x ^= x << 13, x ^= x >> 7, x ^= x << 17;
			data[i] = x;
		}
		sent_sum = add(sent_sum, data, 4096);
		for (at = 0; at < sizeof(data);) {
			ssize_t n = write(fd, (char *)data + at,
					  sizeof(data) - at);

			need(n > 0, "write");
			at += (size_t)n;
		}
		sent += sizeof(data);
	}
	shutdown(fd, SHUT_WR);
	return NULL;
}

static void receive(void)
{
	static uint64_t data[4096];
	size_t at;
	ssize_t n;

	for (;;) {
		for (at = 0; at < sizeof(data); at += (size_t)n) {
			n = read(fd, (char *)data + at, sizeof(data) - at);
			need(n >= 0, "read");
			if (n == 0)
				return;
		}
		got_sum = add(got_sum, data, 4096);
		got += sizeof(data);
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_in at = {.sin_family = AF_INET};
	socklen_t length = sizeof(at);
	int server = socket(AF_INET, SOCK_STREAM, 0), pipes[2], status;
	uint64_t theirs[4];
	pthread_t thread;
	pid_t child;

	gate = argc > 1 ? argv[1] : "/";
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	need(bind(server, (void *)&at, length) == 0, "bind");
	need(listen(server, 1) == 0, "listen");
	getsockname(server, (void *)&at, &length);
	need(pipe(pipes) == 0, "pipe");
	child = fork();
	need(child >= 0, "fork");
	if (child == 0) {
		fd = socket(AF_INET, SOCK_STREAM, 0);
		need(connect(fd, (void *)&at, sizeof(at)) == 0, "connect");
	} else {
		fd = accept(server, NULL, NULL);
		need(fd >= 0, "accept");
		puts("ready");
		fflush(stdout);
	}
	close(server);
	pthread_create(&thread, NULL, sender, NULL);
	receive();
	pthread_join(thread, NULL);
	if (child == 0) {
		uint64_t mine[4] = {sent, sent_sum, got, got_sum};

		need(write(pipes[1], mine, sizeof(mine)) == sizeof(mine), "pipe");
		_exit(0);
	}
	need(read(pipes[0], theirs, sizeof(theirs)) == sizeof(theirs), "pipe");
	need(waitpid(child, &status, 0) == child && status == 0, "child");
	need(theirs[0] == got && theirs[1] == got_sum, "to the parent");
	need(theirs[2] == sent && theirs[3] == sent_sum, "to the child");
	puts("done ok");
	return 0;
}
