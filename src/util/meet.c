/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "util/meet.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/attach.h"
#include "util/cookie.h"
#include "wire/peer.h"

#define FIRST_LINE "ckpt 1"

static int met_port;

int util_meet_words(const char *host, int port, char *text, size_t size,
		    char *err, size_t errsize)
{
	unsigned char cookie[UTIL_COOKIE_BYTES];
	char digits[UTIL_COOKIE_DIGITS + 1], own[256] = "";
	int ret = util_cookie_read(host, port, cookie, err, errsize);

	if (ret < 0)
		return ret;
	util_cookie_print(cookie, digits);
	gethostname(own, sizeof(own) - 1);
	/* What is local to us is where we come from, for others. */
	if (util_is_local(host))
		ret = snprintf(text, size, FIRST_LINE "\n%s\n%d\n*\n%s\n\n",
			       digits, port, own);
	else
		ret = snprintf(text, size, FIRST_LINE "\n%s\n%d\n%s\n\n",
			       digits, port, host);
	explicit_bzero(cookie, sizeof(cookie));
	explicit_bzero(digits, sizeof(digits));
	return ret < 0 || (size_t)ret >= size ? -ENOSPC : 0;
}

/* Byte by byte: what stands behind is not ours. */
static int read_line(int fd, char *line, size_t size)
{
	size_t length = 0;
	ssize_t n;

	for (;;) {
		n = read(fd, line + length, 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -EPIPE;
		if (line[length] == '\n')
			break;
		if (++length == size)
			return -ENAMETOOLONG;
	}
	line[length] = '\0';
	return 0;
}

/* "CLIENT-ADDRESS PORT SERVER-ADDRESS PORT" */
static int ssh_client(char *host, size_t size)
{
	const char *from = getenv("SSH_CONNECTION");
	size_t length = from ? strcspn(from, " ") : 0;

	if (!length || length >= size)
		return -ENOENT;
	memcpy(host, from, length);
	host[length] = '\0';
	return 0;
}

static int reach(const char *host, int port, const unsigned char *cookie,
		 char *err, size_t errsize)
{
	struct wire_peer *peer = wire_connect(host, port, cookie, ROLE_COMMAND,
					      UTIL_CONNECT_MS, err, errsize);

	if (!peer)
		return -errno;
	wire_close(peer);
	return util_cookie_keep(host, port, cookie, err, errsize);
}

int util_meet_port(void)
{
	return met_port;
}

int util_meet(int fd, char *host, size_t size, char *err, size_t errsize)
{
	unsigned char cookie[UTIL_COOKIE_BYTES];
	char line[256], found[256] = "";
	int ret = read_line(fd, line, sizeof(line));

	snprintf(err, errsize, "what came by ssh was not expected: is this "
			       "the same version of ckpt?");
	if (!ret && strcmp(line, FIRST_LINE))
		ret = -EPROTO;
	if (!ret)
		ret = read_line(fd, line, sizeof(line));
	if (!ret)
		ret = util_cookie_parse(line, cookie);
	explicit_bzero(line, sizeof(line));
	if (!ret)
		ret = read_line(fd, line, sizeof(line));
	met_port = ret ? 0 : atoi(line);
	if (!ret && (met_port < 1 || met_port > 65535))
		ret = -EPROTO;
	while (!ret && (ret = read_line(fd, line, sizeof(line))) == 0 && *line) {
		if (*found || (!strcmp(line, "*") &&
			       ssh_client(line, sizeof(line)) < 0))
			continue;
		if (reach(line, met_port, cookie, err, errsize) == 0)
			strcpy(found, line);
	}
	explicit_bzero(cookie, sizeof(cookie));
	if (!ret && !*found) {
		size_t length = strlen(err);

		ret = -EHOSTUNREACH;
		if (length < errsize)
			snprintf(err + length, errsize - length,
				 " (from another host; start it with --bind)");
	}
	if (!ret && strlen(found) >= size)
		ret = -ENAMETOOLONG;
	if (!ret)
		strcpy(host, found);
	return ret;
}
