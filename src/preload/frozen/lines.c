/* SPDX-License-Identifier: MIT */
/* See lines.h. */
#define _GNU_SOURCE
#include <errno.h>

#include "preload/frozen/lines.h"
#include "sys/sys.h"

void lines_open(struct lines *l, int fd, char *buffer, size_t size)
{
	*l = (struct lines){.fd = fd, .buffer = buffer, .size = size};
}

/* Moves what is left to the front and reads until the buffer is full. */
static void fill(struct lines *l)
{
	size_t left = l->end - l->start;
	long n;

	__builtin_memmove(l->buffer, l->buffer + l->start, left);
	l->start = 0;
	l->end = left;
	/* One byte stays for the NUL of a last line without newline. */
	while (!l->eof && l->end < l->size - 1) {
		n = sys_read(l->fd, l->buffer + l->end, l->size - 1 - l->end);
		if (n == -EINTR)
			continue;
		if (n < 0)
			l->error = (int)n;
		if (n <= 0)
			l->eof = 1;
		else
			l->end += (size_t)n;
	}
}

static char *newline(char *from, const char *end)
{
	while (from < end && *from != '\n')
		from++;
	return from < end ? from : NULL;
}

char *lines_next(struct lines *l, size_t *length)
{
	char *line = l->buffer + l->start;
	char *end = newline(line, l->buffer + l->end);

	if (!end && !l->eof) {
		fill(l);
		line = l->buffer;
		end = newline(line, line + l->end);
	}
	if (l->error)
		return NULL;
	if (!end && l->start == l->end)
		return NULL;
	if (!end) {
		if (!l->eof) {
			l->error = -EOVERFLOW;
			return NULL;
		}
		end = l->buffer + l->end;
		l->start = l->end;
	} else {
		l->start = (size_t)(end - l->buffer) + 1;
	}
	*end = 0;
	if (length)
		*length = (size_t)(end - line);
	return line;
}
