/* SPDX-License-Identifier: MIT */
/*
 * TCP connections in many states between two programs, on two hosts:
 *
 *	hosts-tcp serve PORT ROUNDS (serve6: for one that calls by IPv6)
 *	hosts-tcp call HOST PORT ROUNDS
 *
 * The first connection is for what one has to know of the other. In each round
 * all are made, the story does what it does, and then all must be as it was.
 * Says whether the names are.
 */
#include "story.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <sys/socket.h>

enum {
	CONTROL,
	FULL,	    /* both ways, till nothing goes any more */
	SMALL,	    /* the same, with buffers that were set; no listener */
	HALF,	    /* the caller has sent, and its end */
	OTHER_HALF, /* the called one has */
	LEFT,	    /* the caller has filled it and closed it */
	GONE,	    /* the called one has sent little and closed it */
	URGENT,
	CORKED,
	IDLE,
	OVER,	    /* both ends were sent */
	TWIN,	    /* called where another listens at that port of IPv6 */
	LATE_TWIN,  /* ... which was made later */
	MANY,	    /* little both ways: the rest */
	COUNT = MANY + 20,
	WAITING = 3,
};

static int side; /* 0 has called, 1 was called */
static const char *host;
static int port, family = AF_INET;
static int fds[COUNT], server, waiting_server, waiting[WAITING];
static uint64_t sent[COUNT], expected[COUNT];
static struct sockaddr_in6 names[COUNT][2];

static unsigned char pattern(int c, int from, uint64_t at)
{
	uint64_t x = (at + 1) * 0x9e3779b97f4a7c15ull + (uint64_t)(2 * c + from);

	return (unsigned char)(x >> 56 ^ x >> 31);
}

static int serve(int family, int add, int size)
{
	struct sockaddr_in6 any = {.sin6_family = AF_INET6};
	struct sockaddr_in four = {.sin_family = AF_INET};
	int fd = socket(family, SOCK_STREAM, 0), on = 1;

	check(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (size)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	any.sin6_port = four.sin_port = htons((uint16_t)(port + add));
	if (family == AF_INET)
		check(bind(fd, (void *)&four, sizeof(four)) == 0);
	else
		check(bind(fd, (void *)&any, sizeof(any)) == 0);
	check(listen(fd, 64) == 0);
	return fd;
}

/* Ports of IPv6 alone are other ones. */
static void serve_six(int add)
{
	struct sockaddr_in6 any = {.sin6_family = AF_INET6};
	int fd = socket(AF_INET6, SOCK_STREAM, 0), on = 1;

	check(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	check(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) == 0);
	any.sin6_port = htons((uint16_t)(port + add));
	check(bind(fd, (void *)&any, sizeof(any)) == 0);
	check(listen(fd, 64) == 0);
}

static int call(int add, int size)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
	char number[16];
	int fd;

	snprintf(number, sizeof(number), "%d", port + add);
	check(getaddrinfo(host, number, &hints, &found) == 0);
	fd = socket(found->ai_family, SOCK_STREAM, 0);
	check(fd >= 0);
	if (size)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	/* Who is to be called may not be there yet. */
	while (connect(fd, found->ai_addr, found->ai_addrlen) < 0) {
		check(errno == ECONNREFUSED);
		close(fd);
		poll(NULL, 0, 10);
		fd = socket(found->ai_family, SOCK_STREAM, 0);
	}
	freeaddrinfo(found);
	return fd;
}

static void nonblocking(int fd, int on)
{
	int flags = fcntl(fd, F_GETFL);

	check(fcntl(fd, F_SETFL,
		    on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK) == 0);
}

/* Until there is no room, when length is 0. */
static void give(int c, uint64_t length)
{
	static unsigned char data[60013];
	uint64_t end = length ? sent[c] + length : UINT64_MAX;
	int idle = 0;

	nonblocking(fds[c], 1);
	while (sent[c] < end && idle < 5) {
		size_t n = end - sent[c] < sizeof(data) ? end - sent[c] :
							  sizeof(data), i;
		ssize_t went;

		for (i = 0; i < n; i++)
			data[i] = pattern(c, side, sent[c] + i);
		went = send(fds[c], data, n, MSG_NOSIGNAL);
		if (went < 0) {
			check(errno == EAGAIN);
			poll(NULL, 0, 5);
			idle += !length;
			continue;
		}
		sent[c] += (uint64_t)went;
	}
	nonblocking(fds[c], 0);
}

static void take(int c)
{
	static unsigned char data[50021];
	uint64_t at = 0;

	while (at < expected[c]) {
		size_t n = expected[c] - at < sizeof(data) ? expected[c] - at :
							     sizeof(data), i;
		ssize_t got = recv(fds[c], data, n, 0);

		if (got <= 0)
			dprintf(2, "connection %d: ended at %llu of %llu\n", c,
				(unsigned long long)at,
				(unsigned long long)expected[c]);
		check(got > 0);
		for (i = 0; i < (size_t)got; i++)
			check(data[i] == pattern(c, !side, at + i));
		at += (uint64_t)got;
	}
}

static void expect_end(int fd)
{
	char byte;

	check(recv(fd, &byte, 1, 0) == 0);
}

static void hear(int fd, const char *word)
{
	char text[64] = "";
	size_t length = strlen(word);

	check(recv(fd, text, length, MSG_WAITALL) == (ssize_t)length);
	check(memcmp(text, word, length) == 0);
}

static void say(int fd, const char *word)
{
	check(send(fd, word, strlen(word), MSG_NOSIGNAL) ==
	      (ssize_t)strlen(word));
}

static int option(int fd, int level, int name)
{
	int value = -1;
	socklen_t length = sizeof(value);

	check(getsockopt(fd, level, name, &value, &length) == 0);
	return value;
}

static void set(int fd, int level, int name, int value)
{
	check(setsockopt(fd, level, name, &value, sizeof(value)) == 0);
}

static void note(int c, struct sockaddr_in6 name[2])
{
	socklen_t length = sizeof(name[0]);

	memset(name, 0, 2 * sizeof(name[0]));
	check(getsockname(fds[c], (void *)&name[0], &length) == 0);
	length = sizeof(name[1]);
	check(getpeername(fds[c], (void *)&name[1], &length) == 0);
}

static void join_all(void)
{
	static const int ports[COUNT] = {
		[SMALL] = 2, [TWIN] = 3, [LATE_TWIN] = 4
	};
	int c, small = -1, servers[5] = {0};

	if (side) {
		servers[2] = small = serve(family, 2, 6000);
		waiting_server = serve(family, 1, 0);
		servers[0] = server = serve(AF_INET6, 0, 0);
		if (family == AF_INET)
			serve_six(3);
		servers[3] = serve(family, 3, 0);
		servers[4] = serve(family, 4, 0);
		if (family == AF_INET)
			serve_six(4);
	}
	for (c = 0; c < COUNT; c++) {
		fds[c] = side ? accept(servers[ports[c]], NULL, NULL) :
				call(ports[c], c == SMALL ? 6000 : 0);
		check(fds[c] >= 0);
		note(c, names[c]);
		sent[c] = 0;
	}
	if (side)
		close(small);
	else
		for (c = 0; c < WAITING; c++)
			waiting[c] = call(1, 0);
}

/* The other one has got as far. */
static void meet(void)
{
	say(fds[CONTROL], "here");
	hear(fds[CONTROL], "here");
}

static void prepare(void)
{
	int c;

	join_all();
	give(FULL, 0);
	give(SMALL, 0);
	if (side == 0) {
		give(HALF, 40000);
		check(shutdown(fds[HALF], SHUT_WR) == 0);
		give(LEFT, 0);
		close(fds[LEFT]);
		fds[LEFT] = -1;
		say(fds[URGENT], "before");
		check(send(fds[URGENT], "!", 1, MSG_OOB) == 1);
		say(fds[URGENT], "after");
		set(fds[CORKED], IPPROTO_TCP, TCP_CORK, 1);
		set(fds[IDLE], SOL_SOCKET, SO_KEEPALIVE, 1);
		set(fds[IDLE], IPPROTO_TCP, TCP_KEEPIDLE, 77);
		set(fds[IDLE], SOL_SOCKET, SO_SNDBUF, 50000);
		check(shutdown(waiting[WAITING - 1], SHUT_WR) == 0);
	} else {
		give(OTHER_HALF, 7);
		check(shutdown(fds[OTHER_HALF], SHUT_WR) == 0);
		give(GONE, 5000);
		close(fds[GONE]);
		fds[GONE] = -1;
		set(fds[IDLE], SOL_SOCKET, SO_RCVLOWAT, 3);
	}
	give(OVER, 6);
	check(shutdown(fds[OVER], SHUT_WR) == 0);
	for (c = MANY; c < COUNT; c++)
		give(c, (uint64_t)(c + side));
	meet();
	give(CORKED, 33);
}

static void verify_names(void)
{
	struct sockaddr_in6 now[2];
	int c, changed = 0;

	for (c = 0; c < COUNT; c++) {
		if (fds[c] < 0 || c == OVER || c == LEFT || c == GONE)
			continue;
		note(c, now);
		changed += memcmp(now, names[c], sizeof(now)) != 0;
	}
	if (changed)
		printf("%d names of side %d are new\n", changed, side);
	else
		printf("the names of side %d are old\n", side);
	fflush(stdout);
}

static void verify_urgent(void)
{
	char text[32];

	if (side == 0)
		return;
	check(recv(fds[URGENT], text, sizeof(text), 0) == 6);
	check(memcmp(text, "before", 6) == 0 && sockatmark(fds[URGENT]) == 1);
	check(recv(fds[URGENT], text, 1, MSG_OOB) == 1 && *text == '!');
	hear(fds[URGENT], "after");
}

static int can_send(int c, int from)
{
	return c != LEFT && c != GONE && c != OVER &&
	       !(c == HALF && from == 0) && !(c == OTHER_HALF && from == 1);
}

static void verify(void)
{
	static char found[64];
	struct sockaddr_in6 now[2];
	int c, fd;

	verify_names();
	check(send(fds[CONTROL], sent, sizeof(sent), MSG_NOSIGNAL) ==
	      (ssize_t)sizeof(sent));
	check(recv(fds[CONTROL], expected, sizeof(expected), MSG_WAITALL) ==
	      (ssize_t)sizeof(expected));
	for (c = 1; c < COUNT; c++)
		if (fds[c] >= 0)
			take(c);
	verify_urgent();
	if (side == 0) {
		expect_end(fds[OTHER_HALF]);
		expect_end(fds[GONE]);
		check(send(fds[HALF], "x", 1, MSG_NOSIGNAL) < 0);
		check(errno == EPIPE);
		check(option(fds[SMALL], SOL_SOCKET, SO_RCVBUF) == 12000);
		check(option(fds[CORKED], IPPROTO_TCP, TCP_CORK) == 1);
		check(option(fds[IDLE], SOL_SOCKET, SO_KEEPALIVE) == 1);
		check(option(fds[IDLE], IPPROTO_TCP, TCP_KEEPIDLE) == 77);
		check(option(fds[IDLE], SOL_SOCKET, SO_SNDBUF) == 100000);
	} else {
		expect_end(fds[HALF]);
		expect_end(fds[LEFT]);
		check(option(fds[SMALL], SOL_SOCKET, SO_RCVBUF) == 12000);
		check(option(fds[IDLE], SOL_SOCKET, SO_RCVLOWAT) == 3);
	}
	expect_end(fds[OVER]);
	for (c = 0; c < COUNT; c++)
		if (fds[c] >= 0 && can_send(c, side))
			say(fds[c], "on we go");
	for (c = 0; c < COUNT; c++)
		if (fds[c] >= 0 && can_send(c, !side))
			hear(fds[c], "on we go");
	for (c = 0; c < WAITING; c++) {
		fd = side ? accept(waiting_server, NULL, NULL) : waiting[c];
		check(fd >= 0);
		if (side)
			say(fd, "at last");
		else
			hear(fd, "at last");
		if (c == WAITING - 1 && side)
			expect_end(fd);
		close(fd);
	}
	/* It may be on another host by now. */
	if (side == 0) {
		note(CONTROL, now);
		check(getnameinfo((void *)&now[1], sizeof(now[1]),
				  found, sizeof(found), NULL, 0,
				  NI_NUMERICHOST) == 0);
		host = found;
	}
	for (c = 0; c < COUNT; c++)
		close(fds[c]);
	if (side)
		close(server), close(waiting_server);
}

int main(int argc, char **argv)
{
	int round;

	signal(SIGPIPE, SIG_IGN);
	side = argc > 1 && strncmp(argv[1], "serve", 5) == 0;
	if (side && argv[1][5])
		family = AF_INET6;
	check(argc == (side ? 4 : 5));
	host = argv[2];
	port = atoi(argv[side ? 2 : 3]);
	for (round = atoi(argv[argc - 1]); round > 0; round--, port += 10) {
		prepare();
		story_ready();
		verify();
	}
	return 0;
}
