/* SPDX-License-Identifier: MIT */
/*
 * The console: with line editing and history when standard input and output
 * are a terminal, plain lines when input is a pipe. The commands are those of
 * ckpt_command, by their letters. The end of the input ends the console, not
 * the coordinator.
 */
#define _GNU_SOURCE
#include <editline/readline.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "coordinator/coordinator.h"

#define PROMPT "ckpt> "

static struct {
	enum { CONSOLE_NONE, CONSOLE_PLAIN, CONSOLE_TERMINAL } kind;
	char bytes[4096]; /* of a pipe, not yet obeyed */
	size_t length;
	int input_ended, watched;
	int ended; /* in the line editor's callback: clean up outside of it */
} console;

static const char help[] =
	"s       status\n"
	"l       list the processes\n"
	"c       checkpoint\n"
	"kc      checkpoint, then kill all processes\n"
	"k       kill all processes\n"
	"i N     checkpoint every N seconds (0: not any more)\n"
	"q       kill all processes and quit\n"
	"h       this list\n";

void console_say(const char *format, ...)
{
	va_list args;

	if (console.kind == CONSOLE_NONE)
		return;
	if (console.kind == CONSOLE_TERMINAL)
		fputs("\r\033[K", stdout); /* off the prompt */
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	fflush(stdout);
	if (console.kind == CONSOLE_TERMINAL && !console.ended)
		rl_forced_update_display();
}

static void obey(char *line)
{
	size_t length = strlen(line);

	while (length && strchr(" \t\r", line[length - 1]))
		line[--length] = '\0';
	line += strspn(line, " \t");
	if (!*line)
		return;
	if (!strcmp(line, "h") || !strcmp(line, "?") || !strcmp(line, "help"))
		console_say("%s", help);
	else if (console_request(line) < 0)
		console_say("\"%s\" is no command; h lists them\n", line);
}

/* ---- a terminal ---- */

static void terminal_line(char *line)
{
	if (!line) { /* ^D */
		console.ended = 1;
		rl_callback_handler_remove();
		return;
	}
	if (*line)
		add_history(line);
	obey(line);
	free(line);
}

static void terminal_ready(void)
{
	rl_callback_read_char();
	if (console.ended) {
		loop_unwatch(STDIN_FILENO);
		console.kind = CONSOLE_NONE;
		printf("\n");
		fflush(stdout);
	}
}

/* ---- a pipe ---- */

/* Lines one after the other, each when the one before has been answered.
 * 1: there was one. */
static int plain_line(void)
{
	char line[sizeof(console.bytes) + 1];
	char *end = memchr(console.bytes, '\n', console.length);
	size_t length = end ? (size_t)(end - console.bytes) : console.length;

	if (!end && !(console.length && console.input_ended) &&
	    console.length < sizeof(console.bytes))
		return 0;
	memcpy(line, console.bytes, length);
	line[length] = '\0';
	length += end != NULL;
	console.length -= length;
	memmove(console.bytes, console.bytes + length, console.length);
	obey(line);
	return 1;
}

static void plain_ready(void)
{
	ssize_t n = read(STDIN_FILENO, console.bytes + console.length,
			 sizeof(console.bytes) - console.length);

	if (n > 0)
		console.length += n;
	else if (n == 0 || (errno != EINTR && errno != EAGAIN))
		console.input_ended = 1;
}

static void plain_watch(int wanted)
{
	if (wanted == console.watched)
		return;
	if (wanted)
		loop_watch(STDIN_FILENO, plain_ready);
	else
		loop_unwatch(STDIN_FILENO);
	console.watched = wanted;
}

int console_look(void)
{
	int more;

	if (console.kind != CONSOLE_PLAIN)
		return 0;
	more = !console_busy() && plain_line();
	plain_watch(!console.input_ended &&
		    console.length < sizeof(console.bytes));
	return more;
}

void console_open(void)
{
	struct stat st;

	if (fstat(STDIN_FILENO, &st) < 0)
		return;
	if (isatty(STDIN_FILENO) && isatty(STDOUT_FILENO)) {
		if (loop_watch(STDIN_FILENO, terminal_ready) < 0)
			return;
		console.kind = CONSOLE_TERMINAL;
		using_history();
		rl_callback_handler_install(PROMPT, terminal_line);
	} else if (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode) ||
		   isatty(STDIN_FILENO)) {
		console.kind = CONSOLE_PLAIN;
		plain_watch(1);
	}
}

void console_close(void)
{
	if (console.kind == CONSOLE_TERMINAL)
		rl_callback_handler_remove();
	console.kind = CONSOLE_NONE;
}
