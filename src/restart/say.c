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
	char who[40];	 /* child: "process 17 (make): ", or nothing */
	void (*undo)(void);
	struct line {
		char *text;
		int pid;	/* of a process of several; 0: nobody's */
		unsigned times; /* one after the other says the same */
	} *lines; /* ckpt_restart: the report */
	size_t count;
} state;

void say_quiet(void)
{
	state.quiet = 1;
}

int say_is_quiet(void)
{
	return state.quiet;
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

void say_who(int pid, const char *program)
{
	snprintf(state.who, sizeof(state.who), "process %d (%.16s): ", pid,
		 program);
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
		struct iovec parts[] = {{state.who, strlen(state.who)},
					{(void *)(uintptr_t)line, strlen(line)},
					{(char[]){'\n'}, 1}};

		/* At once: others may be failing, too. */
		if (writev(state.error_fd, parts, 3) < 0)
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

void report_line(const char *text, size_t length, int pid)
{
	struct line *lines;
	size_t i;

	for (i = 0; i < state.count; i++)
		if (strncmp(state.lines[i].text, text, length) == 0 &&
		    !state.lines[i].text[length]) {
			state.lines[i].times++;
			return;
		}
	lines = realloc(state.lines, (state.count + 1) * sizeof(*lines));
	if (!lines)
		return;
	state.lines = lines;
	lines += state.count;
	*lines = (struct line){strndup(text, length), pid, 1};
	if (lines->text)
		state.count++;
}

void report(const char *format, ...)
{
	struct capsule_message message = {.type = CAPSULE_REPORT,
					  .pid = *state.who ? getpid() : 0};
	va_list ap;

	va_start(ap, format);
	vsnprintf(message.text, sizeof(message.text), format, ap);
	va_end(ap);
	if (state.child)
		send(state.report_fd, &message, sizeof(message), MSG_NOSIGNAL);
	else
		report_line(message.text, strlen(message.text), 0);
}

void report_print(void)
{
	size_t i;

	for (i = 0; i < state.count; i++) {
		struct line *line = &state.lines[i];

		if (state.quiet)
			;
		else if (line->times > 1)
			fprintf(stderr, "ckpt_restart: %s (%u times)\n",
				line->text, line->times);
		else if (line->pid)
			fprintf(stderr, "ckpt_restart: process %d: %s\n",
				line->pid, line->text);
		else
			fprintf(stderr, "ckpt_restart: %s\n", line->text);
		free(line->text);
	}
	free(state.lines);
	state.lines = NULL;
	state.count = 0;
}
