/* SPDX-License-Identifier: MIT */
/*
 * Both ends of many TCP connections, each in another state. One process may
 * have all, or a process each side: what one side checks needs nothing from
 * the other but what that has sent before (in) or sends in its turn (out).
 */
#ifndef TEST_INET_H
#define TEST_INET_H

#include "port.h"
#include "twice.h"

#include <arpa/inet.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define CONNECTIONS 16

struct endpoint {
	int fd;
	uint32_t seed;	      /* of what comes to it */
	size_t expected;      /* bytes of that */
	struct sockaddr_in6 own, peer;
	socklen_t own_length, peer_length;
};

/* A connection's side 0 has called, side 1 was called. */
static struct endpoint ends[CONNECTIONS][2];
static int full, half, other_half, left, urgent, urgent_read, urgent_inline;
static int small, over, reset, six, mixed, corked;
static int listener, callers[4], busy_listener, busy[3], refused, server6, server;
static struct sockaddr_in server_at, busy_at;
static struct sockaddr_in6 server6_at;
static int count;

static inline void nonblocking(int fd, int on)
{
	int flags = fcntl(fd, F_GETFL);

	check(fcntl(fd, F_SETFL,
		    on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK) == 0);
}

static inline unsigned char pattern(uint32_t seed, size_t at)
{
	uint32_t x = (uint32_t)at * 2654435761u + seed * 40503u;

	return (unsigned char)(x >> 24 ^ x >> 11);
}

static inline int serve(int family, int backlog, void *at, socklen_t length)
{
	struct sockaddr_in *four = at;
	struct sockaddr_in6 *any = at;
	int fd = socket(family, SOCK_STREAM, 0), on = 1;

	memset(at, 0, length);
	if (family == AF_INET) {
		four->sin_family = AF_INET;
		four->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	} else {
		any->sin6_family = AF_INET6; /* of any address, IPv4 too */
	}
	check(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	bind_anywhere(fd, at, length);
	check(listen(fd, backlog) == 0);
	return fd;
}

static inline int call(int family, const void *at, socklen_t length)
{
	int fd = socket(family, SOCK_STREAM, 0);

	check(fd >= 0 && connect(fd, at, length) == 0);
	return fd;
}

static inline void note_names(struct endpoint *e)
{
	e->own_length = e->peer_length = sizeof(e->own);
	check(getsockname(e->fd, (void *)&e->own, &e->own_length) == 0);
	check(getpeername(e->fd, (void *)&e->peer, &e->peer_length) == 0);
}

static inline int join(int calling, int listening)
{
	struct endpoint *e = ends[count];

	memset(e, 0, 2 * sizeof(*e));
	e[0].fd = calling;
	e[1].fd = accept(listening, NULL, NULL);
	check(e[1].fd >= 0);
	note_names(&e[0]);
	note_names(&e[1]);
	return count++;
}

static inline int connection(void)
{
	return join(call(AF_INET, &server_at, sizeof(server_at)), server);
}

/* Side `from` sends; until there is no room for more when length is 0. */
static inline void give(int c, int from, size_t length)
{
	struct endpoint *to = &ends[c][!from];
	static unsigned char data[70001];
	int fd = ends[c][from].fd, fill = !length, idle = 0;
	size_t i, n;
	ssize_t sent;

	to->seed = (uint32_t)(c * 2 + from + 1);
	nonblocking(fd, fill);
	while (fill ? idle < 3 : length > 0) {
		n = fill || length > sizeof(data) ? sizeof(data) : length;
		for (i = 0; i < n; i++)
			data[i] = pattern(to->seed, to->expected + i);
		sent = send(fd, data, n, MSG_NOSIGNAL);
		if (sent < 0) {
			check(fill && errno == EAGAIN);
			poll(NULL, 0, 5); /* the kernel may move some yet */
			idle++;
			continue;
		}
		to->expected += (size_t)sent;
		length -= fill ? 0 : (size_t)sent;
	}
	nonblocking(fd, 0);
}

static inline void take(struct endpoint *e)
{
	static unsigned char data[50021];
	size_t at = 0, i;

	while (at < e->expected) {
		size_t n = e->expected - at;
		ssize_t got = recv(e->fd, data, n < sizeof(data) ? n :
							sizeof(data), 0);

		if (got <= 0)
			dprintf(2, "fd %d: %zu of %zu\n", e->fd, at,
				e->expected);
		check(got > 0);
		for (i = 0; i < (size_t)got; i++) {
			if (data[i] != pattern(e->seed, at + i))
				dprintf(2, "connection %d: wrong at %zu of "
					"%zu\n", (int)(e->seed - 1) / 2,
					at + i, e->expected);
			check(data[i] == pattern(e->seed, at + i));
		}
		at += (size_t)got;
	}
	e->expected = 0;
}

static inline void expect_end(int fd)
{
	char byte;

	check(recv(fd, &byte, 1, 0) == 0);
}

static inline void say_to(int fd, const char *word)
{
	check(send(fd, word, strlen(word), MSG_NOSIGNAL) ==
	      (ssize_t)strlen(word));
}

static inline void hear(int fd, const char *word)
{
	char text[64];
	size_t length = strlen(word), at = 0;

	while (at < length) {
		ssize_t got = recv(fd, text + at, length - at, 0);

		check(got > 0);
		at += (size_t)got;
	}
	check(memcmp(text, word, length) == 0);
}

static inline int option(int fd, int level, int name)
{
	int value = -1;
	socklen_t length = sizeof(value);

	check(getsockopt(fd, level, name, &value, &length) == 0);
	return value;
}

static inline void set(int fd, int level, int name, int value)
{
	check(setsockopt(fd, level, name, &value, sizeof(value)) == 0);
}

/* What is sent has arrived: what comes next must not hurry it. */
static inline void settle(int c, int to)
{
	struct pollfd in = {ends[c][to].fd, POLLIN, 0};

	check(poll(&in, 1, 5000) == 1);
}

static inline void prepare_states(void)
{
	struct linger at_once = {1, 0};
	struct sockaddr_in nobody, small_at;
	socklen_t length = sizeof(nobody);
	int i, fd, deaf;

	count = 0;
	server = serve(AF_INET, 8, &server_at, sizeof(server_at));
	server6 = serve(AF_INET6, 8, &server6_at, sizeof(server6_at));

	full = connection();
	give(full, 0, 0);
	give(full, 1, 0);

	/* Its listener goes. */
	fd = serve(AF_INET, 8, &small_at, sizeof(small_at));
	set(fd, SOL_SOCKET, SO_RCVBUF, 6000);
	i = socket(AF_INET, SOCK_STREAM, 0);
	set(i, SOL_SOCKET, SO_RCVBUF, 6000);
	check(connect(i, (void *)&small_at, sizeof(small_at)) == 0);
	small = join(i, fd);
	close(fd);
	give(small, 1, 0);
	give(small, 0, 0);

	half = connection();
	give(half, 0, 300000);
	check(shutdown(ends[half][0].fd, SHUT_WR) == 0);
	give(half, 1, 11);

	other_half = connection();
	give(other_half, 1, 7);
	check(shutdown(ends[other_half][1].fd, SHUT_WR) == 0);

	left = connection();
	give(left, 0, 1000000);
	close(ends[left][0].fd);
	ends[left][0].fd = -1;

	over = connection();
	give(over, 0, 5);
	give(over, 1, 6);
	settle(over, 0), settle(over, 1);
	check(shutdown(ends[over][0].fd, SHUT_WR) == 0);
	check(shutdown(ends[over][1].fd, SHUT_WR) == 0);

	reset = connection();
	give(reset, 0, 9);
	settle(reset, 1);
	setsockopt(ends[reset][0].fd, SOL_SOCKET, SO_LINGER, &at_once,
		   sizeof(at_once));
	close(ends[reset][0].fd);
	ends[reset][0].fd = -1;

	urgent = connection();
	urgent_read = connection();
	urgent_inline = connection();
	set(ends[urgent_inline][1].fd, SOL_SOCKET, SO_OOBINLINE, 1);
	for (i = urgent; i <= urgent_inline; i++) {
		say_to(ends[i][0].fd, "before");
		check(send(ends[i][0].fd, "!", 1, MSG_OOB) == 1);
		say_to(ends[i][0].fd, "after");
		settle(i, 1);
	}
	{
		struct pollfd in = {ends[urgent_read][1].fd, POLLPRI, 0};
		char byte;

		check(poll(&in, 1, 5000) == 1);
		check(recv(in.fd, &byte, 1, MSG_OOB) == 1 && byte == '!');
	}

	six = join(call(AF_INET6, &(struct sockaddr_in6){
			.sin6_family = AF_INET6,
			.sin6_addr = IN6ADDR_LOOPBACK_INIT,
			.sin6_port = server6_at.sin6_port},
			sizeof(server6_at)), server6);
	give(six, 0, 66);
	mixed = join(call(AF_INET, &(struct sockaddr_in){
			.sin_family = AF_INET,
			.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
			.sin_port = server6_at.sin6_port},
			sizeof(server_at)), server6);
	give(mixed, 1, 64);

	corked = connection();
	set(ends[corked][0].fd, IPPROTO_TCP, TCP_CORK, 1);
	set(ends[corked][0].fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	set(ends[corked][0].fd, IPPROTO_TCP, TCP_KEEPIDLE, 77);
	set(ends[corked][0].fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 50000);
	set(ends[corked][0].fd, IPPROTO_IP, IP_TOS, 0x10);
	set(ends[corked][0].fd, SOL_SOCKET, SO_SNDBUF, 50000);
	set(ends[corked][1].fd, SOL_SOCKET, SO_RCVLOWAT, 3);
	give(corked, 0, 33);

	listener = serve(AF_INET, 8, &busy_at, sizeof(busy_at));
	for (i = 0; i < 4; i++) {
		callers[i] = call(AF_INET, &busy_at, sizeof(busy_at));
		/* Who came first is known up to a tick of the clock. */
		poll(NULL, 0, 15);
	}
	check(shutdown(callers[3], SHUT_WR) == 0);

	/* A queue of one is full: the others are not answered. */
	busy_listener = serve(AF_INET, 0, &busy_at, sizeof(busy_at));
	busy[0] = call(AF_INET, &busy_at, sizeof(busy_at));
	busy[1] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	check(connect(busy[1], (void *)&busy_at, sizeof(busy_at)) < 0);
	check(errno == EINPROGRESS);

	deaf = socket(AF_INET, SOCK_STREAM, 0);
	memset(&nobody, 0, sizeof(nobody));
	nobody.sin_family = AF_INET;
	nobody.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	bind_anywhere(deaf, &nobody, sizeof(nobody));
	refused = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	check(connect(refused, (void *)&nobody, length) < 0);
	check(errno == EINPROGRESS);
	close(deaf);
	signal(SIGPIPE, SIG_IGN);
}

static inline void verify_names(int side)
{
	struct endpoint now;
	int c;

	for (c = 0; c < count; c++) {
		struct endpoint *e = &ends[c][side];

		if (e->fd < 0 || c == over || c == reset || c == left)
			continue;
		now = *e;
		note_names(&now);
		check(now.own_length == e->own_length);
		check(memcmp(&now.own, &e->own, e->own_length) == 0);
		check(memcmp(&now.peer, &e->peer, e->peer_length) == 0);
	}
}

static inline void verify_urgent(void)
{
	int fd = ends[urgent][1].fd;
	char text[32];

	/* A read ends at the mark. */
	check(recv(fd, text, sizeof(text), 0) == 6);
	check(memcmp(text, "before", 6) == 0);
	check(sockatmark(fd) == 1);
	check(recv(fd, text, 1, MSG_OOB) == 1 && *text == '!');
	hear(fd, "after");

	fd = ends[urgent_read][1].fd;
	check(recv(fd, text, 1, MSG_OOB) < 0 && errno == EINVAL);
	check(recv(fd, text, sizeof(text), 0) == 6);
	check(sockatmark(fd) == 1);
	hear(fd, "after");

	fd = ends[urgent_inline][1].fd;
	check(option(fd, SOL_SOCKET, SO_OOBINLINE) == 1);
	check(recv(fd, text, sizeof(text), 0) == 6);
	check(sockatmark(fd) == 1);
	hear(fd, "!after");
}

/* What one side has got. */
static inline void verify_in(int side)
{
	struct pollfd poke = {-1, POLLOUT, 0};
	char byte;
	int c;

	verify_names(side);
	for (c = 0; c < count; c++)
		if (c < urgent || c > urgent_inline)
			if (ends[c][side].fd >= 0)
				take(&ends[c][side]);
	if (side == 1) {
		verify_urgent();
		expect_end(ends[half][1].fd);
		expect_end(ends[left][1].fd);
		check(recv(ends[reset][1].fd, &byte, 1, 0) < 0);
		check(errno == ECONNRESET);
		expect_end(ends[reset][1].fd);
		check(option(ends[small][1].fd, SOL_SOCKET, SO_RCVBUF) == 12000);
		check(option(ends[corked][1].fd, SOL_SOCKET, SO_RCVLOWAT) == 3);
	} else {
		expect_end(ends[other_half][0].fd);
		check(send(ends[half][0].fd, "x", 1, MSG_NOSIGNAL) < 0);
		check(errno == EPIPE);
		check(option(ends[small][0].fd, SOL_SOCKET, SO_RCVBUF) == 12000);
		check(option(ends[corked][0].fd, IPPROTO_TCP, TCP_CORK) == 1);
		check(option(ends[corked][0].fd, IPPROTO_TCP, TCP_KEEPIDLE) == 77);
		check(option(ends[corked][0].fd, SOL_SOCKET, SO_KEEPALIVE) == 1);
		check(option(ends[corked][0].fd, SOL_SOCKET, SO_SNDBUF) == 100000);
		check(option(ends[corked][0].fd, IPPROTO_IP, IP_TOS) == 0x10);
		check(option(ends[full][0].fd, SOL_SOCKET, SO_REUSEADDR) == 0);
		check(option(ends[corked][0].fd, IPPROTO_TCP,
			     TCP_USER_TIMEOUT) == 50000);
		poke.fd = refused;
		check(poll(&poke, 1, 5000) == 1 && (poke.revents & POLLERR));
		check(option(refused, SOL_SOCKET, SO_ERROR) == ECONNREFUSED);
	}
	expect_end(ends[over][side].fd);
	check(send(ends[over][side].fd, "x", 1, MSG_NOSIGNAL) < 0);
	check(errno == EPIPE);
}

static inline int can_send(int c, int side)
{
	return ends[c][side].fd >= 0 && c != over && c != reset && c != left &&
	       (c != half || side == 1) && (c != other_half || side == 0);
}

/* Now they go on. */
static inline void verify_talk(int side)
{
	char word[] = "caller 0";
	int c, i, fd;

	for (c = 0; c < count; c++)
		if (can_send(c, side))
			say_to(ends[c][side].fd, "on we go");
	if (side == 0) {
		for (i = 0; i < 3; i++, word[7]++)
			say_to(callers[i], word);
		return;
	}
	for (i = 0; i < 3; i++, word[7]++) { /* in the order they came */
		fd = accept(listener, NULL, NULL);
		check(fd >= 0);
		hear(fd, word);
		say_to(fd, word);
		close(fd);
	}
	fd = accept(listener, NULL, NULL);
	expect_end(fd);
	say_to(fd, word);
	close(fd);
	for (i = 0; i < 2; i++) {
		fd = accept(busy_listener, NULL, NULL);
		check(fd >= 0);
		say_to(fd, "at last");
		close(fd);
	}
}

static inline void verify_end(int side)
{
	struct pollfd answered = {busy[1], POLLOUT, 0};
	char word[] = "caller 0";
	int c, i;

	for (c = 0; c < count; c++) {
		if (can_send(c, !side) && ends[c][side].fd >= 0)
			hear(ends[c][side].fd, "on we go");
		close(ends[c][side].fd);
	}
	if (side == 1) {
		close(listener), close(busy_listener);
		close(server), close(server6);
		return;
	}
	for (i = 0; i < 4; i++, word[7]++) {
		hear(callers[i], word);
		expect_end(callers[i]);
		close(callers[i]);
	}
	check(poll(&answered, 1, 30000) == 1);
	check(option(busy[1], SOL_SOCKET, SO_ERROR) == 0);
	nonblocking(busy[1], 0);
	for (i = 0; i < 2; i++) {
		hear(busy[i], "at last");
		close(busy[i]);
	}
	close(refused);
}

#endif
