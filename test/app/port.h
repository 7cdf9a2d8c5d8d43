/* SPDX-License-Identifier: MIT */
/*
 * A port that no connection of others gets by chance between the end of a
 * program and its restart: below those that the kernel chooses from.
 */
#ifndef TEST_PORT_H
#define TEST_PORT_H

#include "story.h"

#include <netinet/in.h>
#include <sys/random.h>
#include <sys/socket.h>

/* Binds, and tells in `address` where. */
static inline void bind_anywhere(int fd, void *address, socklen_t length)
{
	struct sockaddr_in *at = address; /* IPv6 has the port there, too */
	uint16_t number;
	int tries, ret = -1;

	for (tries = 0; tries < 100 && ret < 0; tries++) {
		check(getentropy(&number, sizeof(number)) == 0);
		at->sin_port = htons((uint16_t)(10000 + number % 20000));
		ret = bind(fd, address, length);
		check(ret == 0 || errno == EADDRINUSE);
	}
	check(ret == 0);
	check(getsockname(fd, address, &length) == 0);
}

#endif
