/* SPDX-License-Identifier: MIT */
/*
 * Datagrams that wait to be read on one host and came from another one, by
 * several sockets, of IPv4, IPv6 and both:
 *
 *	hosts-letters serve PORT ROUNDS
 *	hosts-letters call HOST PORT ROUNDS (HOST-6 is its name of IPv6)
 *
 * Each says from which port it comes, and is answered at where it is from.
 */
#include "story.h"

#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

enum { FOUR, SIX, BOTH, SERVERS, CALLERS = 4, EACH = 5, LARGE = 20000 };

/* Of IPv4: to FOUR and BOTH; of IPv6: to SIX and BOTH. */
static const int family[CALLERS] = {AF_INET, AF_INET, AF_INET6, AF_INET6};
static const int calls[CALLERS] = {FOUR, BOTH, SIX, BOTH};

static int bound(int domain, int only, int port)
{
	struct sockaddr_in6 name = {.sin6_family = (sa_family_t)domain};
	int fd = socket(domain, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	check(fd >= 0);
	if (domain == AF_INET6)
		check(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only,
				 sizeof(only)) == 0);
	name.sin6_port = htons((uint16_t)port); /* as in sockaddr_in */
	check(bind(fd, (void *)&name,
		   domain == AF_INET ? sizeof(struct sockaddr_in) :
				       sizeof(name)) == 0);
	return fd;
}

static void await(int fd)
{
	struct pollfd ready = {fd, POLLIN, 0};

	check(poll(&ready, 1, 10000) == 1);
}

static int port_of(int fd)
{
	struct sockaddr_in6 name;
	socklen_t length = sizeof(name);

	check(getsockname(fd, (void *)&name, &length) == 0);
	return ntohs(name.sin6_port);
}

static void compose(char text[LARGE], int caller, int port, int number)
{
	int i, length = snprintf(text, LARGE, "caller %d of port %d: %d",
				 caller, port, number);

	for (i = length + 1; i < LARGE; i++)
		text[i] = (char)(i * (number + 3) + caller);
}

static size_t length_of(int number)
{
	return number == 2 ? LARGE : 40 + (size_t)number;
}

static void read_all(int server, int count)
{
	static char text[LARGE], right[LARGE];
	struct sockaddr_in6 from;
	socklen_t length;
	int caller, port, number, next[CALLERS] = {0};

	while (count--) {
		length = sizeof(from);
		await(server);
		ssize_t got = recvfrom(server, text, sizeof(text), 0,
				       (void *)&from, &length);

		check(sscanf(text, "caller %d of port %d: %d", &caller, &port,
			     &number) == 3);
		check(caller >= 0 && caller < CALLERS);
		check(number == next[caller]++);
		check(got == (ssize_t)length_of(number));
		compose(right, caller, port, number);
		check(memcmp(text, right, (size_t)got) == 0);
		check(ntohs(from.sin6_port) == port);
		check(sendto(server, "answer", 6, 0, (void *)&from, length) ==
		      6);
	}
	check(recv(server, text, sizeof(text), 0) < 0 && errno == EAGAIN);
}

static void serve(int port, int rounds)
{
	int fds[SERVERS] = {
		[FOUR] = bound(AF_INET, 0, port),
		[SIX] = bound(AF_INET6, 1, port + 1),
		[BOTH] = bound(AF_INET6, 0, port + 2),
	};

	story_say("listening");
	while (rounds--) {
		story_ready();
		read_all(fds[FOUR], EACH);
		read_all(fds[SIX], EACH);
		read_all(fds[BOTH], 2 * EACH);
		story_say("read");
	}
}

static void send_all(const char *host, int port, int caller, int fd)
{
	struct addrinfo hints = {.ai_family = family[caller],
				 .ai_socktype = SOCK_DGRAM}, *found;
	static char text[LARGE];
	char name[256], number[16];
	int i;

	snprintf(name, sizeof(name), "%s%s", host,
		 family[caller] == AF_INET6 ? "-6" : "");
	snprintf(number, sizeof(number), "%d", port + calls[caller]);
	check(getaddrinfo(name, number, &hints, &found) == 0);
	for (i = 0; i < EACH; i++) {
		compose(text, caller, port_of(fd), i);
		check(sendto(fd, text, length_of(i), 0, found->ai_addr,
			     found->ai_addrlen) == (ssize_t)length_of(i));
	}
	freeaddrinfo(found);
}

/* Each round by sockets of its own: the names of the hosts are old ones. */
static void call(const char *host, int port, int rounds)
{
	int fds[CALLERS], i, n;
	char answer[8];

	while (rounds--) {
		for (i = 0; i < CALLERS; i++) {
			fds[i] = bound(family[i], 0, 0);
			send_all(host, port, i, fds[i]);
		}
		story_ready();
		for (i = 0; i < CALLERS; i++)
			for (n = 0; n < EACH; n++) {
				await(fds[i]);
				check(recv(fds[i], answer, 8, 0) == 6);
			}
		for (i = 0; i < CALLERS; i++)
			close(fds[i]);
	}
}

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "serve") == 0) {
		serve(atoi(argv[2]), atoi(argv[3]));
	} else {
		check(argc == 5);
		call(argv[2], atoi(argv[3]), atoi(argv[4]));
	}
	return 0;
}
