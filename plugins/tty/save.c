/* SPDX-License-Identifier: MIT */
/*
 * tty, saving and reviving: terminals as descriptors. Kept: which standard stream it was,
 * its settings, that it was the controlling terminal. Not kept: what was
 * typed but not read, and the terminal itself: the program comes back on the
 * one ckpt_restart has. Refused: masters of pseudo-terminals.
 */
#define _GNU_SOURCE
#include <asm/ioctls.h>
#include <asm/signal.h>
#include <asm/termbits.h>
#include <linux/stat.h>

#include <ckpt/plugin.h>

#include "plugins/tty/format.h"
#include "sys/string.h"
#include "sys/sys.h"

#define TTY_PTMX 0x502 /* 5:2 */

/* In the sizes of the kernel; its header fights with that of termbits. */
struct tty_size {
	uint16_t rows, columns, xpixel, ypixel;
};

/* The first terminal that controls the process; -1: none. Written by save(),
 * read by revive() in the new life. */
static struct {
	int fd;
	struct tty_size size;
} tty = {.fd = -1};

static int tty_matches(const struct ckpt_fd *fd)
{
	struct termios2 termios;

	return (fd->st.mode & S_IFMT) == S_IFCHR &&
	       !(fd->status_flags & O_PATH) &&
	       sys_ioctl(fd->fd, TCGETS2, &termios) == 0;
}

static void tty_standard(const struct ckpt_fd *fd, struct tty_record *record)
{
	size_t i;

	for (i = ckpt_fd_count(); i-- > 0;) {
		const struct ckpt_fd *other = ckpt_fd_at(i);

		if (other->fd > 2)
			continue;
		if (other->object == fd->object)
			record->standard = other->fd;
		if ((other->st.mode & S_IFMT) == S_IFCHR &&
		    other->st.rdev == fd->st.rdev)
			record->like = other->fd;
	}
}

static int tty_save(const struct ckpt_fd *fd, struct ckpt_record *out)
{
	struct tty_record record = {
		.rdev = fd->st.rdev, .standard = -1, .like = -1,
	};
	struct termios2 termios;
	struct tty_size size = {0, 0, 0, 0};
	int32_t number;

	if (fd->st.rdev == TTY_PTMX)
		return ckpt_refuse(-EOPNOTSUPP, fd->target,
				   ": the master of a pseudo-terminal cannot "
				   "be saved yet", NULL);
	tty_standard(fd, &record);
	if (sys_ioctl(fd->fd, TCGETS2, &termios) == 0) {
		_Static_assert(sizeof(termios) <= sizeof(record.termios),
			       "termios2");
		record.termios_length = sizeof(termios);
		__builtin_memcpy(record.termios, &termios, sizeof(termios));
	}
	if (sys_ioctl(fd->fd, TIOCGWINSZ, &size) == 0) {
		record.rows = size.rows;
		record.columns = size.columns;
		record.xpixel = size.xpixel;
		record.ypixel = size.ypixel;
	}
	/* Answers for the controlling terminal only. */
	record.controlling = sys_ioctl(fd->fd, TIOCGSID, &number) == 0;
	if (record.controlling && tty.fd < 0) {
		tty.fd = fd->fd;
		tty.size = size;
	}
	record.foreground = sys_ioctl(fd->fd, TIOCGPGRP, &number) == 0 &&
			    number == SYS_CALL(SYS_getpgid, 0);
	record.path_length = (uint32_t)sys_strlen(fd->target);
	ckpt_put(out, &record, sizeof(record));
	ckpt_put(out, fd->target, record.path_length);
	return 0;
}

static int tty_capture(struct ckpt_record *out)
{
	(void)out;
	tty.fd = -1;
	return 0;
}

/* It may have come back on a terminal of another size. */
static int tty_revive(void)
{
	struct tty_size now;

	if (tty.fd < 0 || sys_ioctl(tty.fd, TIOCGWINSZ, &now) < 0)
		return 0;
	if (now.rows != tty.size.rows || now.columns != tty.size.columns)
		SYS_CALL(SYS_kill, sys_getpid(), SIGWINCH);
	return 0;
}

const struct ckpt_saver tty_saver = {
	.kind = 67,
	.name = "tty",
	.matches = tty_matches,
	.save = tty_save,
	.capture = tty_capture,
	.revive = tty_revive,
};
