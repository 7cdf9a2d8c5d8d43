/* SPDX-License-Identifier: MIT */
/*
 * The cookie: 32 random bytes that who controls a computation has to know. It
 * comes, in this order, from
 *
 *	CKPT_COOKIE		64 hexadecimal digits
 *	CKPT_COOKIE_FILE	a file, 0600
 *	RUNTIME/coordinator-HOST-PORT.cookie	of another host's coordinator
 *	RUNTIME/coordinator-PORT.cookie		of this host's
 *
 * or, for who asks a coordinator on another host for the first time, by ssh
 * from there. It never stands on a command line.
 */
#ifndef UTIL_COOKIE_H
#define UTIL_COOKIE_H

#include <stddef.h>

#define UTIL_COOKIE_BYTES 32
#define UTIL_COOKIE_DIGITS (2 * UTIL_COOKIE_BYTES)

/* Is it a name or an address of the host that we are on, for sure? */
int util_is_local(const char *host);

/* The cookie of the coordinator at this port of that host. 0; -ENOENT: there
 * is none; another -errno, with one line in err. */
int util_cookie_read(const char *host, int port,
		     unsigned char cookie[UTIL_COOKIE_BYTES], char *err,
		     size_t errsize);

/* For the coordinator: the cookie that is there, else a new one. A restarted
 * coordinator thus finds its agents again. */
int util_cookie_make(int port, unsigned char cookie[UTIL_COOKIE_BYTES],
		     char *err, size_t errsize);

/* Keep what is good, for the agents and for the next time. Nothing happens
 * where the user has said where it is. */
int util_cookie_keep(const char *host, int port,
		     const unsigned char cookie[UTIL_COOKIE_BYTES], char *err,
		     size_t errsize);

/* Ask for it by ssh: CKPT_SSH is the command, CKPT_COOKIE_SSH=0 forbids it. */
int util_cookie_fetch(const char *host, int port,
		      unsigned char cookie[UTIL_COOKIE_BYTES], char *err,
		      size_t errsize);

/* Of no use any more. While the port is still bound, so that it cannot be a
 * successor's. */
void util_cookie_forget(int port);

/* text: UTIL_COOKIE_DIGITS and a NUL. */
void util_cookie_print(const unsigned char cookie[UTIL_COOKIE_BYTES],
		       char text[UTIL_COOKIE_DIGITS + 1]);
int util_cookie_parse(const char *text,
		      unsigned char cookie[UTIL_COOKIE_BYTES]);

#endif
