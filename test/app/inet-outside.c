/* SPDX-License-Identifier: MIT */
/*
 * Connections to somebody outside (the story's). A checkpoint alone leaves them
 * as they are; after a restart a stream finds itself reset by its peer, once,
 * and a datagram socket goes on.
 */
#include "story.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

static int call(int type, const char *port)
{
	struct sockaddr_in at = {.sin_family = AF_INET};
	int fd = socket(AF_INET, type, 0);

	at.sin_port = htons((uint16_t)atoi(port));
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	check(fd >= 0 && connect(fd, (void *)&at, sizeof(at)) == 0);
	return fd;
}

static void expect_echo(int fd, const char *word)
{
	char text[32];
	ssize_t length = (ssize_t)strlen(word);

	check(send(fd, word, (size_t)length, MSG_NOSIGNAL) == length);
	check(recv(fd, text, sizeof(text), 0) == length);
	check(memcmp(text, word, (size_t)length) == 0);
}

int main(int argc, char **argv)
{
	struct pollfd state = {-1, POLLIN | POLLOUT | POLLRDHUP, 0};
	int streams[3], datagrams, i;
	char text[32];

	check(argc == 3);
	for (i = 0; i < 3; i++)
		streams[i] = call(SOCK_STREAM, argv[1]);
	datagrams = call(SOCK_DGRAM, argv[2]);
	for (i = 0; i < 2; i++)
		expect_echo(streams[i], "before");
	story_ready();
	for (i = 0; i < 2; i++)
		expect_echo(streams[i], "between");
	expect_echo(datagrams, "between");
	/* An answer that is not read yet stays so. */
	check(send(streams[0], "unread", 6, 0) == 6);
	state.fd = streams[0];
	check(poll(&state, 1, 5000) == 1);
	while (!(state.revents & POLLIN))
		check(poll(&state, 1, 5000) == 1);
	/* The last words of a peer that goes on listening. */
	check(send(streams[2], "end", 3, 0) == 3);
	state.fd = streams[2];
	while (!(state.revents & POLLRDHUP))
		check(poll(&state, 1, 5000) == 1);
	state.fd = streams[0];
	story_ready();
	check(recv(streams[2], text, sizeof(text), 0) == 3);
	check(recv(streams[2], text, 1, 0) == 0);
	check(send(streams[2], "x", 1, MSG_NOSIGNAL) == 1);
	while (!(state.revents & POLLERR)) {
		state.fd = streams[2];
		check(poll(&state, 1, 5000) == 1);
	}
	check(send(streams[2], "x", 1, MSG_NOSIGNAL) < 0 && errno == EPIPE);
	state.fd = streams[0];
	check(poll(&state, 1, 0) == 1);
	check((state.revents & (POLLIN | POLLHUP)) == (POLLIN | POLLHUP));
	check(recv(streams[0], text, sizeof(text), 0) == 6);
	check(recv(streams[0], text, 1, 0) < 0 && errno == ECONNRESET);
	check(recv(streams[0], text, 1, 0) == 0);
	check(send(streams[0], "x", 1, MSG_NOSIGNAL) < 0 && errno == EPIPE);
	check(send(streams[1], "x", 1, MSG_NOSIGNAL) < 0);
	check(errno == ECONNRESET || errno == EPIPE);
	expect_echo(datagrams, "after");
	return 0;
}
