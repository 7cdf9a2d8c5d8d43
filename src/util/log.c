/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "util/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int log_fd = STDERR_FILENO;

int log_open(const char *path)
{
	int fd = STDERR_FILENO;

	if (path) {
		fd = open(path,
			  O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY |
				  O_NOFOLLOW,
			  0600);
		if (fd < 0)
			return -errno;
	}
	if (log_fd != STDERR_FILENO)
		close(log_fd);
	log_fd = fd;
	return 0;
}

void log_line(const char *format, ...)
{
	char line[1024];
	struct timespec now;
	struct tm tm;
	size_t length;
	va_list args;
	int more;

	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &tm);
	length = strftime(line, sizeof(line), "%F %T", &tm);
	length += snprintf(line + length, sizeof(line) - length, ".%03ld ",
			   now.tv_nsec / 1000000);
	va_start(args, format);
	more = vsnprintf(line + length, sizeof(line) - length - 1, format,
			 args);
	va_end(args);
	if (more > (int)(sizeof(line) - length - 2))
		more = sizeof(line) - length - 2;
	/* What a peer sent may stand in a line, but makes no second one. */
	for (int i = 0; i < more; i++)
		if ((unsigned char)line[length + i] < ' ')
			line[length + i] = ' ';
	length += more > 0 ? more : 0;
	line[length++] = '\n';
	if (write(log_fd, line, length) < 0)
		return; /* a full disk must not end a coordinator */
}
