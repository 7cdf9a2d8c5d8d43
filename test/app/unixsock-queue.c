/* SPDX-License-Identifier: MIT */
/*
 * Unix sockets within a program: queues, message bounds, half-close, a server
 * with its name.
 */
#include "twice.h"

#include <sys/socket.h>
#include <sys/un.h>

static int stream[2], packets[2], half[2], server, caller, accepted, waiting;
static char big[50000], out[60000];

static void prepare(void)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "name"};

	memset(big, 'b', sizeof(big));
	check(socketpair(AF_UNIX, SOCK_STREAM, 0, stream) == 0);
	check(write(stream[0], big, sizeof(big)) == sizeof(big));
	check(write(stream[1], "back", 4) == 4);
	check(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, packets) == 0);
	check(write(packets[0], "1", 1) == 1 && write(packets[0], "22", 2) == 2);
	check(socketpair(AF_UNIX, SOCK_STREAM, 0, half) == 0);
	check(write(half[0], "last", 4) == 4 && shutdown(half[0], SHUT_WR) == 0);
	unlink("name");
	server = socket(AF_UNIX, SOCK_STREAM, 0);
	check(bind(server, (void *)&name, sizeof(name)) == 0);
	check(listen(server, 3) == 0);
	caller = socket(AF_UNIX, SOCK_STREAM, 0);
	check(connect(caller, (void *)&name, sizeof(name)) == 0);
	accepted = accept(server, NULL, NULL);
	waiting = socket(AF_UNIX, SOCK_STREAM, 0);
	check(accepted >= 0);
	check(connect(waiting, (void *)&name, sizeof(name)) == 0);
}

static void verify(void)
{
	struct sockaddr_un name;
	socklen_t length = sizeof(name);
	int late;

	check(recv(stream[1], out, sizeof(big), MSG_WAITALL) == sizeof(big));
	check(memcmp(big, out, sizeof(big)) == 0);
	check(read(stream[0], out, 100) == 4);
	check(read(packets[1], out, 100) == 1 && read(packets[1], out, 100) == 2);
	check(read(packets[1], out, 100) < 0 && errno == EAGAIN);
	check(read(half[1], out, 100) == 4 && read(half[1], out, 100) == 0);
	check(write(half[1], "x", 1) == 1 && read(half[0], out, 100) == 1);
	check(getpeername(caller, (void *)&name, &length) == 0);
	check(!strcmp(name.sun_path, "name"));
	check(write(caller, "c", 1) == 1 && read(accepted, out, 100) == 1);
	late = accept(server, NULL, NULL);
	check(late >= 0 && write(waiting, "ww", 2) == 2);
	check(read(late, out, 100) == 2);
	close(stream[0]), close(stream[1]), close(packets[0]), close(packets[1]);
	close(half[0]), close(half[1]), close(server), close(caller);
	close(accepted), close(waiting), close(late);
}

int main(void)
{
	return twice(prepare, verify);
}
