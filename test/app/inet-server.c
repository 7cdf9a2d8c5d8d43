/* SPDX-License-Identifier: MIT */
/* A server listens on at its port, a datagram socket at its own. */
#include "port.h"
#include "twice.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

static int server, datagrams, fresh;
static struct sockaddr_in at, datagrams_at;

static int bound(int type, struct sockaddr_in *address)
{
	int fd = socket(AF_INET, type, 0), on = 1;

	memset(address, 0, sizeof(*address));
	address->sin_family = AF_INET;
	address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	bind_anywhere(fd, address, sizeof(*address));
	return fd;
}

static void prepare(void)
{
	int on = 1;

	server = bound(SOCK_STREAM, &at);
	check(listen(server, 5) == 0);
	datagrams = bound(SOCK_DGRAM, &datagrams_at);
	fresh = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (fresh >= 0)
		check(setsockopt(fresh, IPPROTO_TCP, TCP_NODELAY, &on, 4) == 0);
}

static void verify(void)
{
	int caller = socket(AF_INET, SOCK_STREAM, 0), on = 0, accepted;
	socklen_t length = sizeof(on);
	char text[8];

	check(connect(caller, (void *)&at, sizeof(at)) == 0);
	accepted = accept(server, NULL, NULL);
	check(accepted >= 0 && write(caller, "tcp", 3) == 3);
	check(read(accepted, text, 8) == 3);
	check(sendto(datagrams, "udp", 3, 0, (void *)&datagrams_at,
		     sizeof(datagrams_at)) == 3);
	check(recv(datagrams, text, 8, 0) == 3);
	if (fresh >= 0) {
		check(!getsockopt(fresh, IPPROTO_TCP, TCP_NODELAY, &on, &length));
		check(on);
		close(fresh);
	}
	close(caller), close(accepted), close(server), close(datagrams);
}

int main(void)
{
	return twice(prepare, verify);
}
