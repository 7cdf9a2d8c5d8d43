/* SPDX-License-Identifier: MIT */
/*
 * Bringing another host into a computation by ssh: it gets the coordinator's
 * cookie through the standard input of a command there, finds out by which
 * address it reaches the coordinator, and keeps the cookie. What travels:
 *
 *	ckpt 1
 *	COOKIE		64 hexadecimal digits
 *	PORT
 *	HOST ...	where it may be, one a line, until an empty one; "*" is
 *			where the ssh connection comes from
 */
#ifndef UTIL_MEET_H
#define UTIL_MEET_H

#include <stddef.h>

/* This side: what to send for the coordinator at host:port. 0 or -errno. */
int util_meet_words(const char *host, int port, char *text, size_t size,
		    char *err, size_t errsize);

/* The other side: reads that from fd and nothing behind it. host: as which the
 * coordinator can be reached from here. 0 or -errno. */
int util_meet(int fd, char *host, size_t size, char *err, size_t errsize);
/* ... and its port. */
int util_meet_port(void);

#endif
