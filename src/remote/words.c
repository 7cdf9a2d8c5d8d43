/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "remote/words.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char *words_print(const struct words *words)
{
	char hosts[sizeof(words->hosts)], *text, *at;

	snprintf(hosts, sizeof(hosts), "%s", words->hosts);
	for (at = hosts; *at; at++)
		if (*at == ' ')
			*at = '\n';
	return asprintf(&text, "%s\n%d\n%d\n%s\n\n%zu\n%s", words->token,
			words->port4, words->port6, hosts,
			strlen(words->command), words->command) < 0
		       ? NULL
		       : text;
}

static int read_exactly(int fd, char *bytes, size_t size)
{
	ssize_t n;

	while (size) {
		n = read(fd, bytes, size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -EPIPE;
		bytes += n;
		size -= (size_t)n;
	}
	return 0;
}

static int read_line(int fd, char *line, size_t size)
{
	size_t length = 0;

	while (length < size) {
		if (read_exactly(fd, line + length, 1) < 0)
			return -EPIPE;
		if (line[length] == '\n') {
			line[length] = '\0';
			return 0;
		}
		length++;
	}
	return -ENAMETOOLONG;
}

int words_read(int fd, struct words *words)
{
	char line[300];
	size_t at = 0;
	long length;
	int ret;

	memset(words, 0, sizeof(*words));
	ret = read_line(fd, words->token, sizeof(words->token));
	if (!ret)
		ret = read_line(fd, line, sizeof(line));
	words->port4 = ret ? 0 : atoi(line);
	if (!ret)
		ret = read_line(fd, line, sizeof(line));
	words->port6 = ret ? 0 : atoi(line);
	while (!ret && (ret = read_line(fd, line, sizeof(line))) == 0 && *line) {
		if (at + strlen(line) + 2 > sizeof(words->hosts))
			return -ENAMETOOLONG;
		at += (size_t)sprintf(words->hosts + at, "%s%s", at ? " " : "",
				      line);
	}
	if (!ret)
		ret = read_line(fd, line, sizeof(line));
	if (ret)
		return ret;
	length = atol(line);
	if (length < 0 || length > REMOTE_COMMAND_MAX)
		return -EPROTO;
	words->command = calloc(1, (size_t)length + 1);
	if (!words->command)
		return -ENOMEM;
	return read_exactly(fd, words->command, (size_t)length);
}
