/* SPDX-License-Identifier: MIT */
/*
 * Bulk transfer between two hosts, over several connections, each both ways at
 * once until the gate file exists: by calls that block, that do not, with
 * epoll's edges, to somebody who reads slowly. Each byte is looked at.
 *
 *	duplex serve PORT GATE
 *	duplex call HOST PORT GATE
 * BUILD: -pthread
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind {
	BLOCKING,
	POLLED,
	EDGES,
	SLOW,	  /* nobody reads as fast as the other writes */
	KINDS,
	CONTROL = KINDS,
	COUNT,
};

/* Of sending (0: the kernel's own affair) and of receiving. */
static const int buffers[KINDS][2] = {
	[BLOCKING] = {0, 400000},
	[POLLED] = {300000, 300000},
	[EDGES] = {20000, 20000},
	[SLOW] = {400000, 100000},
};

#define LEAST (4 << 20) /* bytes each way; of SLOW, what fits */
#define PIECE 150001

static int side; /* 0: has called */
static const char *gate;

static struct way {
	enum kind kind;
	int fd, epoll, out;
	uint64_t seed, bytes;
	pthread_t thread;
} ways[KINDS][2]; /* in, out */

static void need(int truth, const char *what)
{
	if (truth)
		return;
	perror(what);
	puts("done WRONG");
	fflush(stdout);
	_exit(1);
}

static uint64_t word(uint64_t seed, uint64_t n)
{
	uint64_t x = (n + 1) * 0x9e3779b97f4a7c15u + seed;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	return x ^ x >> 27;
}

static void fill(const struct way *way, unsigned char *data, size_t size)
{
	uint64_t at = way->bytes;

	while (size) {
		uint64_t w = word(way->seed, at / 8);
		size_t skip = at % 8, n = 8 - skip < size ? 8 - skip : size;

		memcpy(data, (const char *)&w + skip, n);
		data += n, at += n, size -= n;
	}
}

/* Until the socket may be ready again. */
static void await(const struct way *way)
{
	struct pollfd poller = {way->fd, way->out ? POLLOUT : POLLIN, 0};
	struct epoll_event event;

	if (way->kind == EDGES)
		need(epoll_wait(way->epoll, &event, 1, -1) == 1, "epoll_wait");
	else
		need(poll(&poller, 1, -1) == 1, "poll");
}

static int is_over(void)
{
	return access(gate, F_OK) == 0;
}

static int sent_enough(const struct way *way)
{
	return (way->kind == SLOW || way->bytes >= LEAST) && is_over();
}

static void *sender(void *arg)
{
	struct way *way = arg;
	unsigned char *data = malloc(PIECE);

	need(data != NULL, "malloc");
	while (!sent_enough(way)) {
		size_t size = 1 + word(3, way->bytes) % PIECE, at = 0;

		fill(way, data, size);
		while (at < size) {
			struct iovec parts[2] = {
				{data + at, (size - at) / 2},
				{data + at + (size - at) / 2,
				 size - at - (size - at) / 2},
			};
			ssize_t n = writev(way->fd, parts, 2);

			if (n < 0 && errno == EAGAIN) {
				await(way);
				continue;
			}
			need(n > 0, "writev");
			at += (size_t)n;
		}
		way->bytes += size;
	}
	need(shutdown(way->fd, SHUT_WR) == 0, "shutdown");
	free(data);
	return NULL;
}

static void *receiver(void *arg)
{
	struct way *way = arg;
	unsigned char *data = malloc(PIECE), *right = malloc(PIECE);

	need(data && right, "malloc");
	for (;;) {
		size_t size = way->kind == SLOW ? 5000 : PIECE;
		ssize_t n = recv(way->fd, data, size, 0);

		if (n < 0 && errno == EAGAIN) {
			await(way);
			continue;
		}
		need(n >= 0, "recv");
		if (n == 0)
			break;
		fill(way, right, (size_t)n);
		errno = 0;
		need(memcmp(data, right, (size_t)n) == 0, "another byte");
		way->bytes += (size_t)n;
		if (way->kind == SLOW && !is_over())
			poll(NULL, 0, 5);
	}
	free(data);
	free(right);
	return NULL;
}

static void begin(int fd, int kind, int out)
{
	struct epoll_event event = {.events = 0};
	struct way *way = &ways[kind][out];

	way->kind = (enum kind)kind;
	way->out = out;
	way->fd = fd;
	way->seed = (uint64_t)kind << 8 | (unsigned)(side == out);
	if (kind != BLOCKING)
		need(fcntl(fd, F_SETFL, O_NONBLOCK) == 0, "fcntl");
	if (kind == EDGES) {
		way->epoll = epoll_create1(EPOLL_CLOEXEC);
		event.events = EPOLLET | (out ? EPOLLOUT : EPOLLIN);
		need(epoll_ctl(way->epoll, EPOLL_CTL_ADD, fd, &event) == 0,
		     "epoll_ctl");
	}
	need(pthread_create(&way->thread, NULL, out ? sender : receiver,
			    way) == 0, "pthread_create");
}

static int serve(const char *port)
{
	struct sockaddr_in any = {.sin_family = AF_INET};
	int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

	any.sin_port = htons((uint16_t)atoi(port));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	need(bind(fd, (void *)&any, sizeof(any)) == 0, "bind");
	need(listen(fd, COUNT) == 0, "listen");
	puts("listening");
	fflush(stdout);
	return fd;
}

static int call(const char *host, const char *port)
{
	struct addrinfo hints = {.ai_family = AF_INET,
				 .ai_socktype = SOCK_STREAM}, *found;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	need(getaddrinfo(host, port, &hints, &found) == 0, host);
	need(connect(fd, found->ai_addr, found->ai_addrlen) == 0, "connect");
	freeaddrinfo(found);
	return fd;
}

static void compare(int fd)
{
	uint64_t mine[KINDS][2], theirs[KINDS][2];
	int kind, out;

	for (kind = 0; kind < KINDS; kind++)
		for (out = 0; out < 2; out++)
			mine[kind][out] = ways[kind][out].bytes;
	need(send(fd, mine, sizeof(mine), 0) == sizeof(mine), "send");
	need(recv(fd, theirs, sizeof(theirs), MSG_WAITALL) == sizeof(theirs),
	     "recv");
	errno = 0;
	for (kind = 0; kind < KINDS; kind++)
		for (out = 0; out < 2; out++)
			need(mine[kind][out] == theirs[kind][!out],
			     "another length");
}

int main(int argc, char **argv)
{
	int server = -1, fds[COUNT], i;

	side = argc > 1 && strcmp(argv[1], "serve") == 0;
	need(argc == (side ? 4 : 5), "arguments");
	gate = argv[argc - 1];
	if (side)
		server = serve(argv[2]);
	for (i = 0; i < COUNT; i++) {
		fds[i] = side ? accept(server, NULL, NULL) :
				call(argv[2], argv[3]);
		need(fds[i] >= 0, "accept");
		if (i < KINDS && buffers[i][0])
			setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF,
				   &buffers[i][0], sizeof(int));
		if (i < KINDS)
			setsockopt(fds[i], SOL_SOCKET, SO_RCVBUF,
				   &buffers[i][1], sizeof(int));
	}
	for (i = 0; i < KINDS; i++) {
		begin(fds[i], i, 0);
		begin(fds[i], i, 1);
	}
	for (i = 0; i < KINDS; i++)
		while (__atomic_load_n(&ways[i][0].bytes, __ATOMIC_RELAXED) <
		       100000)
			poll(NULL, 0, 1);
	puts("ready");
	fflush(stdout);
	for (i = 0; i < KINDS; i++) {
		pthread_join(ways[i][0].thread, NULL);
		pthread_join(ways[i][1].thread, NULL);
	}
	compare(fds[CONTROL]);
	puts("done ok");
	return 0;
}
