/* SPDX-License-Identifier: MIT */
/*
 * tty, saving and reviving: terminals and both sides of pseudo-terminals.
 * Of a terminal from outside are kept: which standard stream it was, its
 * settings, whose foreground it was; the program comes back on the one that
 * ckpt_restart has. Of a pair all is kept, by its master: whoever holds that
 * sees the other side as well. Not kept: what was typed at a terminal from
 * outside and not read.
 */
#define _GNU_SOURCE
#include <asm/ioctls.h>
#include <asm/signal.h>
#include <linux/stat.h>

#include <ckpt/plugin.h>

#include "plugins/tty/content.h"
#include "plugins/tty/format.h"
#include "sys/string.h"
#include "sys/sys.h"

#define TTY_DEV 0x500  /* 5:0, /dev/tty */
#define TTY_PTMX 0x502 /* 5:2 */
#define TTY_LOCK_AT (1ll << 40)

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

/* Of the pair being saved. */
static struct tty_content content;

/* Pseudo-terminals' other sides: 136:0 to 143:1048575. */
static int tty_is_pts(uint64_t rdev)
{
	uint64_t major = rdev >> 8 & 0xfff;

	return major >= 136 && major <= 143;
}

static int tty_matches(const struct ckpt_fd *fd)
{
	struct termios2 termios;

	if ((fd->st.mode & S_IFMT) != S_IFCHR || (fd->status_flags & O_PATH))
		return 0;
	/* One that was hung up answers nothing. */
	return tty_is_pts(fd->st.rdev) || fd->st.rdev == TTY_DEV ||
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
		    other->st.rdev == record->rdev)
			record->like = other->fd;
	}
}

/* ---- settings ---- */

static void tty_settings(int fd, struct tty_record *record)
{
	struct termios2 termios;
	struct tty_size size = {0, 0, 0, 0};
	int32_t number = 0;

	if (sys_ioctl(fd, TCGETS2, &termios) == 0) {
		_Static_assert(sizeof(termios) <= sizeof(record->termios),
			       "termios2");
		record->termios_length = sizeof(termios);
		__builtin_memcpy(record->termios, &termios, sizeof(termios));
	}
	if (sys_ioctl(fd, TIOCGWINSZ, &size) == 0) {
		record->rows = size.rows;
		record->columns = size.columns;
		record->xpixel = size.xpixel;
		record->ypixel = size.ypixel;
	}
	if (sys_ioctl(fd, TIOCGEXCL, &number) == 0 && number)
		record->flags |= TTY_EXCLUSIVE;
	/* A slave answers for the controlling terminal only, a master always. */
	if (sys_ioctl(fd, TIOCGSID, &record->session) < 0)
		record->session = 0;
	if (sys_ioctl(fd, TIOCGPGRP, &record->group) < 0)
		record->group = 0;
}

/* Any side but a master. */
static void tty_look(const struct ckpt_fd *fd, struct tty_record *record)
{
	uint32_t device = 0;
	int32_t session;

	record->dev = fd->st.dev;
	record->ino = fd->st.ino;
	if (fd->st.rdev == TTY_DEV)
		record->flags |= TTY_DEV_TTY;
	if (sys_ioctl(fd->fd, TIOCGDEV, &device) == 0)
		record->rdev = device;
	tty_standard(fd, record);
	tty_settings(fd->fd, record);
	if (!record->termios_length) {
		record->flags |= TTY_HUNG_UP;
		return;
	}
	if (sys_ioctl(fd->fd, TIOCGSID, &session) == 0)
		record->flags |= TTY_CONTROLLING;
	if (record->group > 0 && record->group == SYS_CALL(SYS_getpgid, 0))
		record->flags |= TTY_FOREGROUND;
	if ((record->flags & TTY_CONTROLLING) && tty.fd < 0 &&
	    (record->flags & TTY_FOREGROUND)) {
		tty.fd = fd->fd;
		tty.size = (struct tty_size){record->rows, record->columns,
					     record->xpixel, record->ypixel};
	}
}

/* ---- pairs ---- */

/* The name of the other side, where the program sees it. */
static void tty_name(struct tty_record *record)
{
	char path[32];
	struct sys_text text;
	struct statx st;

	sys_text_open(&text, path, sizeof(path));
	sys_text_put(&text, "/dev/pts/");
	sys_text_number(&text, (uint64_t)record->number, 10);
	if (SYS_CALL(SYS_statx, AT_FDCWD, path, 0, STATX_INO | STATX_TYPE,
		     &st) < 0 ||
	    st.stx_rdev_major < 136 || st.stx_rdev_major > 143 ||
	    st.stx_rdev_minor != ((uint32_t)record->number & 0xfffff))
		return;
	record->dev = (uint64_t)st.stx_dev_major << 8 |
		      (st.stx_dev_minor & 0xff) |
		      ((uint64_t)st.stx_dev_minor & ~0xffull) << 12;
	record->ino = st.stx_ino;
}

struct tty_entry { /* of getdents64() */
	uint64_t ino;
	int64_t offset;
	uint16_t length;
	uint8_t type;
	char name[];
};

/* Calls look() for every name in the folder that is a number, until it says
 * that it has found something. */
static int tty_each_number(const char *path, char *buffer, long size,
			   int (*look)(const struct tty_record *record,
				       const char *path, uint64_t number),
			   const struct tty_record *record)
{
	long folder = sys_openat(AT_FDCWD, path,
				 O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	long n = 0, at;
	int found = 0;

	while (folder >= 0 && !found &&
	       (n = SYS_CALL(SYS_getdents64, folder, buffer, size)) > 0)
		for (at = 0; at < n && !found;) {
			const struct tty_entry *entry =
				(const void *)(buffer + at);
			const char *name = entry->name;

			at += entry->length;
			if (*name >= '0' && *name <= '9')
				found = look(record, path,
					     sys_number(&name, 10));
		}
	if (folder >= 0)
		sys_close((int)folder);
	return found;
}

static void tty_path(char *path, size_t size, const char *folder,
		     uint64_t number, const char *rest)
{
	struct sys_text text;

	sys_text_open(&text, path, size);
	sys_text_put(&text, folder);
	sys_text_put(&text, "/");
	sys_text_number(&text, number, 10);
	sys_text_put(&text, rest);
}

static int tty_look_fd(const struct tty_record *record, const char *folder,
		       uint64_t number)
{
	char path[80], target[32];
	struct statx st;
	long n;

	tty_path(path, sizeof(path), folder, number, "");
	n = sys_readlinkat(AT_FDCWD, path, target, sizeof(target) - 1);
	if (n <= 0)
		return 0;
	target[n] = 0;
	return sys_starts(target, "/dev/pts/") &&
	       SYS_CALL(SYS_statx, AT_FDCWD, path, 0, STATX_INO, &st) == 0 &&
	       st.stx_ino == record->ino &&
	       st.stx_rdev_minor == ((uint32_t)record->number & 0xfffff);
}

static int tty_look_process(const struct tty_record *record, const char *folder,
			    uint64_t number)
{
	static char buffer[4096] __attribute__((aligned(8)));
	char path[48];

	tty_path(path, sizeof(path), folder, number, "/fd");
	return tty_each_number(path, buffer, sizeof(buffer), tty_look_fd,
			       record);
}

/* Has anybody the other side open, or had it? Were it opened now for the
 * first time, the master would see that it is closed again. */
static int tty_slave_was_open(const struct tty_record *record)
{
	static char buffer[4096] __attribute__((aligned(8)));
	size_t i;

	if (record->flags & TTY_CLOSED || record->session > 0)
		return 1;
	for (i = 0; i < ckpt_fd_count(); i++) {
		const struct ckpt_fd *fd = ckpt_fd_at(i);

		if (fd->st.rdev == record->rdev && fd->st.ino == record->ino &&
		    (fd->st.mode & S_IFMT) == S_IFCHR)
			return 1;
	}
	return record->ino &&
	       tty_each_number("/proc", buffer, sizeof(buffer),
			       tty_look_process, record);
}

/* Several may hold the master, and a claim is granted in doubt. */
static long tty_lock(int slave)
{
	struct flock lock = {
		.l_type = F_WRLCK, .l_whence = 0, .l_start = TTY_LOCK_AT,
		.l_len = 1,
	};

	return sys_fcntl(slave, 38 /* F_OFD_SETLKW */, (unsigned long)&lock);
}

static void tty_content(const struct ckpt_fd *fd, struct tty_record *record,
			int slave)
{
	struct termios2 real;
	int off = 0;

	content.flags = content.packet_status = 0;
	content.output_length = content.input_length = content.mark_count = 0;
	tty_lock(slave);
	/* Not before: another one may just have been at it. */
	if (sys_ioctl(fd->fd, TCGETS2, &real) < 0)
		return;
	__builtin_memcpy(record->termios, &real, sizeof(real));
	if (record->flags & TTY_PACKET) {
		if (tty_poll(fd->fd, POLLPRI, 0) & POLLPRI) {
			unsigned char status = 0;

			if (sys_read(fd->fd, &status, 1) == 1)
				content.packet_status = status;
		}
		sys_ioctl(fd->fd, TIOCPKT, &off);
	}
	if (!tty_is_empty(fd->fd, slave, &real)) {
		tty_take_out(fd->fd, slave, &real, &content);
		if (tty_put_back(fd->fd, slave, &real,
				 record->flags & TTY_PACKET, &content) < 0)
			record->flags |= TTY_UNSEEN;
	} else if (record->flags & TTY_PACKET) {
		tty_put_packet(fd->fd, slave, &real, &content);
	}
	record->flags |= content.flags;
	record->packet_status = content.packet_status;
	record->output = content.output_length;
	record->input = content.input_length;
	record->marks = content.mark_count;
}

static void tty_look_master(const struct ckpt_fd *fd, struct tty_record *record)
{
	int32_t number = 0;
	long slave = -1;
	int open;

	record->flags |= TTY_MASTER;
	if (sys_ioctl(fd->fd, TIOCGPTN, &record->number) < 0)
		record->number = -1;
	record->rdev = (uint64_t)136 << 8 | ((uint64_t)record->number & 0xff) |
		       ((uint64_t)record->number & 0xfff00) << 12;
	tty_name(record);
	tty_settings(fd->fd, record);
	/* What follows changes, for moments, what another one would see. */
	if (record->ino && !ckpt_claim(record->dev, record->ino)) {
		record->flags |= TTY_ELSEWHERE;
		return;
	}
	if (sys_ioctl(fd->fd, TIOCGPTLCK, &number) == 0 && number)
		record->flags |= TTY_LOCKED;
	if (sys_ioctl(fd->fd, TIOCGPKT, &number) == 0 && number)
		record->flags |= TTY_PACKET;
	if (tty_poll(fd->fd, 0, 0) & POLLHUP)
		record->flags |= TTY_CLOSED;
	open = tty_slave_was_open(record);
	number = 0;
	if (open && (record->flags & TTY_LOCKED))
		sys_ioctl(fd->fd, TIOCSPTLCK, &number);
	if (open)
		slave = sys_ioctl(fd->fd, TIOCGPTPEER,
				  (void *)(long)(O_RDWR | O_NOCTTY |
						 O_NONBLOCK | O_CLOEXEC));
	number = 1;
	if (open && (record->flags & TTY_LOCKED))
		sys_ioctl(fd->fd, TIOCSPTLCK, &number);
	if (slave >= 0) {
		tty_content(fd, record, (int)slave);
		sys_close((int)slave);
	} else if (open) {
		record->flags |= TTY_UNSEEN;
	}
}

/* ---- the hooks ---- */

static int tty_save(const struct ckpt_fd *fd, struct ckpt_record *out)
{
	struct tty_record record = {
		.rdev = fd->st.rdev, .standard = -1, .like = -1, .number = -1,
	};

	content.output_length = content.input_length = content.mark_count = 0;
	if (fd->st.rdev == TTY_PTMX)
		tty_look_master(fd, &record);
	else
		tty_look(fd, &record);
	record.path_length = (uint32_t)sys_strlen(fd->target);
	ckpt_put(out, &record, sizeof(record));
	ckpt_put(out, fd->target, record.path_length);
	ckpt_put(out, content.output, record.output);
	ckpt_put(out, content.input, record.input);
	ckpt_put(out, content.marks, record.marks * sizeof(*content.marks));
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
	.kind = TTY_KIND,
	.name = "tty",
	.matches = tty_matches,
	.save = tty_save,
	.capture = tty_capture,
	.revive = tty_revive,
};
