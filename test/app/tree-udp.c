/* SPDX-License-Identifier: MIT */
/*
 * Datagrams that wait, with the addresses they came from: from a process of
 * the computation, from a socket that is closed, from a connected one; groups
 * that a socket is in, options.
 */
#include "port.h"
#include "twice.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define GROUP 0xefc80102u /* 239.200.1.2 */

static int server, client, talks[2], gone, member, six, coverage, go[2];
static struct sockaddr_in server_at, client_at, gone_at, talk_at[2];
static struct sockaddr_in6 six_at;
static pid_t child;

static int bound(int protocol, struct sockaddr_in *at)
{
	int fd = socket(AF_INET, SOCK_DGRAM, protocol);

	memset(at, 0, sizeof(*at));
	at->sin_family = AF_INET;
	at->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0)
		return fd;
	bind_anywhere(fd, at, sizeof(*at));
	return fd;
}

static void give(int fd, const void *to, socklen_t length, const char *word)
{
	check(sendto(fd, word, strlen(word), 0, to, length) ==
	      (ssize_t)strlen(word));
}

static void take(int fd, const struct sockaddr_in *from, const char *word)
{
	struct sockaddr_in name = {0};
	socklen_t length = sizeof(name);
	char text[100];
	ssize_t got = recvfrom(fd, text, sizeof(text), MSG_DONTWAIT,
			       (void *)&name, &length);

	check(got == (ssize_t)strlen(word) && memcmp(text, word, got) == 0);
	check(name.sin_port == from->sin_port);
	check(name.sin_addr.s_addr == from->sin_addr.s_addr);
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

static void prepare(void)
{
	struct ip_mreqn group = {
		.imr_multiaddr.s_addr = htonl(GROUP),
		.imr_ifindex = (int)if_nametoindex("lo"),
	};
	static char large[40000];
	socklen_t length;
	char byte;

	server = bound(0, &server_at);
	client = bound(0, &client_at);
	gone = bound(0, &gone_at);
	talks[0] = bound(0, &talk_at[0]);
	talks[1] = bound(0, &talk_at[1]);
	check(connect(talks[0], (void *)&talk_at[1], sizeof(talk_at[1])) == 0);
	check(connect(talks[1], (void *)&talk_at[0], sizeof(talk_at[0])) == 0);
	give(client, &server_at, sizeof(server_at), "first");
	give(gone, &server_at, sizeof(server_at), "from one that has gone");
	give(client, &server_at, sizeof(server_at), "");
	give(talks[0], &server_at, sizeof(server_at), "aside");
	memset(large, 'x', sizeof(large));
	check(sendto(client, large, sizeof(large), 0, (void *)&server_at,
		     sizeof(server_at)) == sizeof(large));
	give(client, &server_at, sizeof(server_at), "last");
	check(send(talks[0], "to one", 6, 0) == 6);
	close(gone);

	six = socket(AF_INET6, SOCK_DGRAM, 0); /* of any address, IPv4 too */
	memset(&six_at, 0, sizeof(six_at));
	six_at.sin6_family = AF_INET6;
	bind_anywhere(six, &six_at, sizeof(six_at));
	client_at.sin_port = six_at.sin6_port;
	give(client, &client_at, sizeof(client_at), "as IPv4");
	length = sizeof(client_at);
	check(getsockname(client, (void *)&client_at, &length) == 0);

	member = socket(AF_INET, SOCK_DGRAM, 0);
	check(setsockopt(member, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group,
			 sizeof(group)) == 0);
	set(member, SOL_SOCKET, SO_BROADCAST, 1);
	set(member, IPPROTO_IP, IP_MULTICAST_TTL, 3);
	set(member, IPPROTO_IP, IP_MULTICAST_LOOP, 0);
	set(member, IPPROTO_IP, IP_RECVTTL, 1);
	set(member, SOL_SOCKET, SO_RCVBUF, 30000);
	set(member, SOL_SOCKET, SO_TIMESTAMPNS, 1);
	coverage = bound(IPPROTO_UDPLITE, &gone_at); /* -1: none here */
	if (coverage >= 0)
		set(coverage, IPPROTO_UDPLITE, 10, 8);
	gone_at.sin_port = 0;

	check(pipe(go) == 0);
	child = fork();
	check(child >= 0);
	if (child == 0) {
		close(go[1]), close(server), close(talks[1]), close(member);
		close(six);
		check(read(go[0], &byte, 1) == 0);
		give(client, &server_at, sizeof(server_at), "afterwards");
		_exit(0);
	}
	close(go[0]), close(client), close(talks[0]);
}

static void verify(void)
{
	struct ip_mreqn group = {
		.imr_multiaddr.s_addr = htonl(GROUP),
		.imr_ifindex = (int)if_nametoindex("lo"),
	};
	struct sockaddr_in6 from;
	socklen_t length = sizeof(from);
	static char large[50000];
	char text[100];
	int status;

	close(go[1]);
	check(waitpid(child, &status, 0) == child && status == 0);
	take(server, &client_at, "first");
	check(recv(server, text, sizeof(text), MSG_DONTWAIT) == 22);
	take(server, &client_at, "");
	take(server, &talk_at[0], "aside");
	check(recv(server, large, sizeof(large), MSG_DONTWAIT) == 40000);
	check(large[39999] == 'x');
	take(server, &client_at, "last");
	take(server, &client_at, "afterwards");
	take(talks[1], &talk_at[0], "to one");
	check(recvfrom(six, text, sizeof(text), MSG_DONTWAIT, (void *)&from,
		       &length) == 7);
	check(IN6_IS_ADDR_V4MAPPED(&from.sin6_addr));
	check(from.sin6_port == client_at.sin_port);

	check(setsockopt(member, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group,
			 sizeof(group)) < 0 && errno == EADDRINUSE);
	check(option(member, SOL_SOCKET, SO_BROADCAST) == 1);
	check(option(member, IPPROTO_IP, IP_MULTICAST_TTL) == 3);
	check(option(member, IPPROTO_IP, IP_MULTICAST_LOOP) == 0);
	check(option(member, IPPROTO_IP, IP_RECVTTL) == 1);
	check(option(member, SOL_SOCKET, SO_RCVBUF) == 60000);
	check(option(member, SOL_SOCKET, SO_TIMESTAMPNS) == 1);
	if (coverage >= 0)
		check(option(coverage, IPPROTO_UDPLITE, 10) == 8);
	close(server), close(talks[1]), close(member), close(six);
	close(coverage);
}

int main(void)
{
	return twice(prepare, verify);
}
