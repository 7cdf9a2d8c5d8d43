/* SPDX-License-Identifier: MIT */
/* One place for all lines that a user of ckpt_restart reads. See say.h. */
#include "restart/say.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "restart/capsule.h"

static struct {
	int quiet;
	int child;	 /* set once, after the fork */
	int error_fd;	 /* child: the pipe to ckpt_restart */
	int report_fd;	 /* child: its socket to ckpt_restart */
	void (*undo)(void);
	char *lines;	 /* ckpt_restart: the report, newline-terminated */
	size_t length;
} state;

void say_quiet(void)
{
	state.quiet = 1;
}

void say_on_failure(void (*undo)(void))
{
	state.undo = undo;
}

void say_from_child(int error_fd, int report_fd)
{
	if (!state.child)
		state.undo = NULL; /* ckpt_restart's */
	state.child = 1;
	state.error_fd = error_fd;
	state.report_fd = report_fd;
}

int say_error_fd(void)
{
	return state.error_fd;
}

int say_report_fd(void)
{
	return state.report_fd;
}

void say_undo(void)
{
	void (*undo)(void) = state.undo;

	state.undo = NULL; /* if it fails itself */
	if (undo)
		undo();
}

void fail_line(const char *line)
{
	if (state.child) {
		struct iovec parts[] = {{(void *)(uintptr_t)line, strlen(line)},
					{(char[]){'\n'}, 1}};

		/* At once: others may be failing, too. */
		if (writev(state.error_fd, parts, 2) < 0)
			_exit(99);
		say_undo();
		_exit(99);
	}
	say_undo();
	fprintf(stderr, "ckpt_restart: %s\n", line);
	exit(99);
}

void fail(const char *format, ...)
{
	char line[1024];
	va_list ap;

	va_start(ap, format);
	vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	fail_line(line);
}

void say(const char *format, ...)
{
	va_list ap;

	if (state.quiet || state.child)
		return;
	fputs("ckpt_restart: ", stderr);
	va_start(ap, format);
	vfprintf(stderr, format, ap);
	va_end(ap);
	fputc('\n', stderr);
}

void report_line(const char *line, size_t length)
{
	char *more = realloc(state.lines, state.length + length + 2);

	if (!more)
		return;
	state.lines = more;
	memcpy(more + state.length, line, length);
	state.length += length;
	more[state.length++] = '\n';
	more[state.length] = 0;
}

void report(const char *format, ...)
{
	struct capsule_message message = {.type = CAPSULE_REPORT};
	va_list ap;

	va_start(ap, format);
	vsnprintf(message.text, sizeof(message.text), format, ap);
	va_end(ap);
	if (state.child)
		send(state.report_fd, &message, sizeof(message), MSG_NOSIGNAL);
	else
		report_line(message.text, strlen(message.text));
}

void report_print(void)
{
	char *line = state.lines, *end;

	for (; line && *line && !state.quiet; line = end + 1) {
		end = strchr(line, '\n');
		fprintf(stderr, "ckpt_restart: %.*s\n", (int)(end - line),
			line);
	}
	free(state.lines);
	state.lines = NULL;
	state.length = 0;
}
