/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "util/die.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* One write, so that lines of several processes do not mix. */
static void say(const char *format, va_list args)
{
	char line[2048];
	int length = snprintf(line, sizeof(line),
			      "%s: ", program_invocation_short_name);
	int more = vsnprintf(line + length, sizeof(line) - length - 1, format,
			     args);

	if (more > (int)sizeof(line) - length - 2)
		more = sizeof(line) - length - 2;
	length += more > 0 ? more : 0;
	line[length++] = '\n';
	fflush(stdout);
	if (write(STDERR_FILENO, line, length) < 0)
		return; /* nobody listens: the exit status must do */
}

void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(format, args);
	va_end(args);
	exit(EXIT_OUR_FAILURE);
}

void warn_user(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(format, args);
	va_end(args);
}
