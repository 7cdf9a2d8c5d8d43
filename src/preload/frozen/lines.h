/* SPDX-License-Identifier: MIT */
/* A text file, line by line, in big reads, through a buffer of the caller's. */
#ifndef FROZEN_LINES_H
#define FROZEN_LINES_H

#include <stddef.h>

struct lines {
	int fd;
	int eof;
	int error; /* -errno; -EOVERFLOW: a line that the buffer cannot hold */
	char *buffer;
	size_t size, start, end;
};

void lines_open(struct lines *l, int fd, char *buffer, size_t size);
/* The next one, NUL instead of the newline, good until the next call. NULL at
 * the end and on an error: ask l->error. */
char *lines_next(struct lines *l, size_t *length);

#endif
