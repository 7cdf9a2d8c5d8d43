/* SPDX-License-Identifier: MIT */
/*
 * tty, restoring: the terminal is that of ckpt_restart. A standard stream is
 * taken from there whatever it leads to now; another descriptor is opened
 * anew on the same terminal.
 */
#define _GNU_SOURCE
#include <asm/termbits.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <ckpt/plugin.h>

#include "plugins/tty/format.h"

static int tty_reopen(struct ckpt_restore *r, int number, int flags)
{
	char path[40];
	int stream = ckpt_standard_stream(r, number);
	int fd = -1;

	if (stream < 0)
		return -1;
	if (isatty(stream)) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", stream);
		fd = open(path, flags);
	}
	close(stream);
	return fd;
}

static int tty_open(struct ckpt_restore *r, const struct ckpt_object *object)
{
	const struct tty_record *record = object->body;
	int flags = (int)(object->status_flags & (O_ACCMODE | O_NONBLOCK)) |
		    O_CLOEXEC | O_NOCTTY;
	int fd = -1, number;

	if (object->length < sizeof(*record))
		return -EBADMSG;
	if (record->standard >= 0)
		return ckpt_standard_stream(r, record->standard);
	if (record->like >= 0)
		fd = tty_reopen(r, record->like, flags);
	if (fd < 0)
		fd = open("/dev/tty", flags);
	for (number = 0; fd < 0 && number < 3; number++)
		fd = tty_reopen(r, number, flags);
	if (fd >= 0)
		return fd;
	ckpt_report(r, "%s: there is no terminal here; /dev/null stands for it",
		    object->label);
	fd = open("/dev/null", flags);
	return fd < 0 ? -errno : fd;
}

/* As the program had set it. Only from the foreground: a program in the
 * background has no say, and would be stopped by SIGTTOU. */
static int tty_connect(struct ckpt_restore *r, const struct ckpt_object *object,
		       int fd)
{
	const struct tty_record *record = object->body;
	struct termios2 termios;

	(void)r;
	if (!isatty(fd) || record->termios_length != sizeof(termios) ||
	    !record->foreground || tcgetpgrp(fd) != getpgrp())
		return 0;
	memcpy(&termios, record->termios, sizeof(termios));
	/* A terminal that will not take it all is still a terminal. */
	ioctl(fd, TCSETS2, &termios);
	return 0;
}

static void tty_show(const struct ckpt_object *object, char *line, size_t size)
{
	const struct tty_record *record = object->body;

	if (object->length < sizeof(*record) ||
	    record->path_length > object->length - sizeof(*record))
		return;
	snprintf(line, size, "%.*s, %ux%u%s%s", (int)record->path_length,
		 (const char *)(record + 1), record->columns, record->rows,
		 record->controlling ? ", controlling" : "",
		 record->foreground ? ", foreground" : "");
}

const struct ckpt_restorer tty_restorer = {
	.kind = 67,
	.name = "tty",
	.open = tty_open,
	.connect = tty_connect,
	.show = tty_show,
	.no_position = 1,
};
