/* SPDX-License-Identifier: MIT */
/*
 * tty, restoring. A terminal from outside becomes that of ckpt_restart: a
 * standard stream is taken from there whatever it leads to now, another
 * descriptor is opened anew on the same terminal.
 *
 * A pair is made by its master's record, with its old number: the capsule has
 * terminals of its own, so every number can be had by opening long enough. The
 * other side is opened by way of the master.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ckpt/plugin.h>

#include "plugins/tty/content.h"
#include "plugins/tty/format.h"

#define NUMBERS_MAX 4096
#define KERNEL_O_LARGEFILE 0100000 /* libc has 0 for it */

struct tty_view {
	const struct tty_record *record;
	const char *path;
	const unsigned char *output, *input;
	const uint32_t *marks;
};

static int tty_view(const struct ckpt_object *object, struct tty_view *view)
{
	const struct tty_record *record = object->body;
	size_t left = object->length;

	if (left < sizeof(*record))
		return -EBADMSG;
	left -= sizeof(*record);
	if (record->path_length > left || record->output > TTY_CONTENT_MAX ||
	    record->input > TTY_CONTENT_MAX ||
	    record->marks > TTY_MARKS_MAX ||
	    record->output + record->input + record->marks * sizeof(uint32_t) >
		    left - record->path_length)
		return -EBADMSG;
	view->record = record;
	view->path = (const char *)(record + 1);
	view->output = (const unsigned char *)view->path + record->path_length;
	view->input = view->output + record->output;
	view->marks = (const uint32_t *)(const void *)(view->input +
						       record->input);
	return 0;
}

/* Of those who have written a record of the master, one knows the pair. */
static int tty_view_pair(struct ckpt_restore *r,
			 const struct ckpt_object *object,
			 struct tty_view *view)
{
	const struct ckpt_object *record;
	size_t i;

	for (i = 0; (record = ckpt_object_record(r, object, i)); i++)
		if (tty_view(record, view) == 0 &&
		    !(view->record->flags & TTY_ELSEWHERE))
			return 0;
	return tty_view(object, view);
}

static int tty_settings(const struct tty_record *record,
			struct termios2 *termios)
{
	if (record->termios_length != sizeof(*termios))
		return 0;
	memcpy(termios, record->termios, sizeof(*termios));
	return 1;
}

/* ---- who belongs together ---- */

static void tty_bonds(const struct ckpt_object *object,
		      struct ckpt_bonds *bonds)
{
	struct tty_view view;

	if (tty_view(object, &view) < 0)
		return;
	if (!(view.record->flags & TTY_HUNG_UP))
		ckpt_bond(bonds, view.record->rdev);
	if (view.record->flags & TTY_MASTER)
		ckpt_bond_terminal(bonds, view.record->session);
}

static int tty_is_pair(const struct tty_record *master,
		       const struct tty_record *slave)
{
	if (!(master->flags & TTY_MASTER) ||
	    (slave->flags & (TTY_MASTER | TTY_HUNG_UP)) ||
	    master->rdev != slave->rdev)
		return 0;
	/* A number may be in use outside as well. */
	if (slave->flags & TTY_DEV_TTY)
		return master->session > 0 &&
		       master->session == slave->session;
	return master->ino && master->ino == slave->ino &&
	       master->dev == slave->dev;
}

/* The master on the other side; NULL: that is outside. */
static const struct ckpt_object *tty_master(struct ckpt_restore *r,
					    const struct tty_record *slave)
{
	const struct ckpt_object *other = NULL;
	struct tty_view view;

	while ((other = ckpt_object_by_inode(r, TTY_KIND, 0, other)))
		if (tty_view(other, &view) == 0 &&
		    tty_is_pair(view.record, slave))
			return other;
	return NULL;
}

/* ---- pairs ---- */

static int tty_new_master(void)
{
	int fd = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* The lowest free number is what one gets; so all below are taken, and given
 * back. Two who do that at once would be in each other's way. */
static int tty_numbered_master(int number)
{
	int lock = open("/dev/pts", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int *others = malloc(NUMBERS_MAX * sizeof(*others));
	int count = 0, fd = -ENOMEM, got = -1;

	if (lock >= 0)
		flock(lock, LOCK_EX);
	while (others && count < NUMBERS_MAX) {
		fd = tty_new_master();
		if (fd < 0)
			break;
		if (ioctl(fd, TIOCGPTN, &got) < 0 || got == number)
			break;
		others[count++] = fd;
		fd = -EBUSY;
		if (got > number)
			break; /* somebody has it */
	}
	while (count > 0)
		close(others[--count]);
	free(others);
	if (lock >= 0)
		close(lock);
	return fd;
}

/* O_CLOEXEC would stay with the description. */
static int tty_peer(int master, int flags)
{
	int fd = ioctl(master, TIOCGPTPEER, (flags & ~O_CLOEXEC) | O_NOCTTY);

	if (fd >= 0)
		fcntl(fd, F_SETFD, FD_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int tty_fill(int master, int slave, const struct tty_view *view)
{
	const struct tty_record *record = view->record;
	struct tty_content *content = calloc(1, sizeof(*content));
	struct termios2 termios;
	int ret;

	if (!content)
		return -ENOMEM;
	content->flags = record->flags;
	content->packet_status = record->packet_status;
	content->output_length = record->output;
	content->input_length = record->input;
	content->mark_count = record->marks;
	memcpy(content->output, view->output, record->output);
	memcpy(content->input, view->input, record->input);
	memcpy(content->marks, view->marks, record->marks * sizeof(uint32_t));
	if (!tty_settings(record, &termios))
		ioctl(master, TCGETS2, &termios);
	ret = tty_put_back(master, slave, &termios, record->flags & TTY_PACKET,
			   content);
	free(content);
	return ret;
}

static void tty_set_size(int fd, const struct tty_record *record)
{
	struct {
		uint16_t rows, columns, xpixel, ypixel;
	} size = {record->rows, record->columns, record->xpixel,
		  record->ypixel};

	ioctl(fd, TIOCSWINSZ, &size);
}

static int tty_open_master(struct ckpt_restore *r,
			   const struct ckpt_object *object)
{
	const struct tty_record *record;
	struct tty_view view;
	int slave = -1, unlocked = 0;
	int ret = tty_view_pair(r, object, &view), fd;

	if (ret < 0)
		return ret;
	record = view.record;
	fd = tty_numbered_master(record->number);
	if (fd == -EBUSY) {
		fd = tty_new_master();
		ckpt_report(r, "%s: /dev/pts/%d is in use here, the program's terminal has another number",
			    object->label, record->number);
	}
	if (fd < 0)
		return fd;
	ioctl(fd, TIOCSPTLCK, &unlocked);
	tty_set_size(fd, record);
	/* To open and close the other side is seen by the master. */
	if (record->output || record->input || record->marks ||
	    (record->flags & (TTY_CLOSED | TTY_STOPPED | TTY_STOPPED_OFF)) ||
	    record->packet_status)
		slave = tty_peer(fd, O_RDWR | O_NONBLOCK);
	ret = tty_fill(fd, slave, &view);
	if (ret < 0 || (record->flags & TTY_UNSEEN))
		ckpt_report(r, "%s: not all that waited in the terminal has been kept",
			    object->label);
	if (slave >= 0)
		close(slave);
	if (record->flags & TTY_LOCKED) {
		unlocked = 1;
		ioctl(fd, TIOCSPTLCK, &unlocked);
	}
	return fd;
}

static int tty_made_master(struct ckpt_restore *r,
			   const struct ckpt_object *master)
{
	int fd = ckpt_object_fd(r, master->id), ret;

	if (fd >= 0)
		return fd;
	fd = tty_open_master(r, master);
	if (fd < 0)
		return fd;
	ret = ckpt_adopt(r, master->id, fd);
	return ret < 0 ? ret : ckpt_object_fd(r, master->id);
}

/* /dev/tty is the terminal of whoever opens it: a process whose only one it
 * is, in a session of its own, with our descriptors. */
static int tty_open_dev_tty(int slave, int flags)
{
	int *opened = mmap(NULL, sizeof(*opened), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pid;
	int fd;

	if (opened == MAP_FAILED)
		return -ENOMEM;
	*opened = -ECHILD;
	pid = (pid_t)syscall(SYS_clone, (unsigned long)(CLONE_FILES | CLONE_FS),
			     NULL, NULL, NULL, 0UL);
	if (pid == 0) {
		setsid();
		if (ioctl(slave, TIOCSCTTY, 0) == 0)
			*opened = open("/dev/tty", flags);
		/* To end with it would hang it up. */
		ioctl(slave, TIOCNOTTY);
		_exit(0);
	}
	if (pid > 0)
		waitpid(pid, NULL, __WALL);
	fd = *opened;
	munmap(opened, sizeof(*opened));
	return fd;
}

static int tty_open_slave(struct ckpt_restore *r,
			  const struct tty_record *record,
			  const struct ckpt_object *master, int flags)
{
	int fd = tty_made_master(r, master), device;

	if (fd < 0)
		return fd;
	fd = tty_peer(fd, flags);
	if (fd < 0 || !(record->flags & TTY_DEV_TTY))
		return fd;
	device = tty_open_dev_tty(fd, flags | O_CLOEXEC);
	if (device < 0)
		return fd;
	close(fd);
	return device;
}

/* One whose other side has gone. */
static int tty_open_hung_up(int flags)
{
	int master = tty_new_master(), fd, unlocked = 0;

	if (master < 0)
		return master;
	ioctl(master, TIOCSPTLCK, &unlocked);
	fd = tty_peer(master, flags);
	close(master);
	return fd;
}

/* ---- from outside ---- */

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

static int tty_open_outside(struct ckpt_restore *r,
			    const struct ckpt_object *object,
			    const struct tty_record *record, int flags)
{
	int fd = -1, number;

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

/* ---- the hooks ---- */

static int tty_open(struct ckpt_restore *r, const struct ckpt_object *object)
{
	int flags = (int)(object->status_flags &
			  (O_ACCMODE | O_NONBLOCK | KERNEL_O_LARGEFILE)) |
		    O_CLOEXEC | O_NOCTTY;
	const struct ckpt_object *master;
	struct tty_view view;
	int ret = tty_view(object, &view);

	if (ret < 0)
		return ret;
	if (view.record->flags & TTY_MASTER)
		return tty_open_master(r, object);
	if (view.record->flags & TTY_HUNG_UP)
		return tty_open_hung_up(flags);
	master = tty_master(r, view.record);
	if (master)
		return tty_open_slave(r, view.record, master, flags);
	return tty_open_outside(r, object, view.record, flags);
}

static int tty_connect(struct ckpt_restore *r, const struct ckpt_object *object,
		       int fd)
{
	struct termios2 termios;
	struct tty_view view;
	int ret = tty_view(object, &view);

	if (ret < 0)
		return ret;
	if (view.record->flags & TTY_EXCLUSIVE)
		ioctl(fd, TIOCEXCL);
	if (view.record->flags & (TTY_MASTER | TTY_HUNG_UP) ||
	    tty_master(r, view.record))
		return 0;
	/* The user's terminal gets the program's settings, when the program
	 * was in its foreground and is so again. */
	if (isatty(fd) && ckpt_foreground(r) &&
	    tty_settings(view.record, &termios))
		/* A terminal that will not take it all is still one. */
		ioctl(fd, TCSETS2, &termios);
	return 0;
}

static int tty_session(struct ckpt_restore *r, const struct ckpt_object *object,
		       int fd)
{
	const struct ckpt_object *master;
	struct tty_view view, other;

	if (tty_view(object, &view) < 0 || (view.record->flags & TTY_MASTER))
		return 0;
	master = tty_master(r, view.record);
	if (master && tty_view(master, &other) == 0 &&
	    other.record->session == getpid())
		ioctl(fd, TIOCSCTTY, 0);
	return 0;
}

/* Any member of the session may say who is in the foreground. */
static int tty_hold(struct ckpt_restore *r, const struct ckpt_object *object,
		    int fd)
{
	struct tty_view view;

	(void)r;
	if (tty_view(object, &view) < 0 ||
	    !(view.record->flags & TTY_CONTROLLING) ||
	    view.record->session <= 0 || view.record->group <= 0 ||
	    view.record->session != getsid(0))
		return 0;
	/* All signals are blocked: no SIGTTOU for it. */
	ioctl(fd, TIOCSPGRP, &view.record->group);
	return 0;
}

static void tty_show(const struct ckpt_object *object, char *line, size_t size)
{
	const struct tty_record *record;
	struct tty_view view;

	if (tty_view(object, &view) < 0)
		return;
	record = view.record;
	if (record->flags & TTY_MASTER)
		snprintf(line, size,
			 "master of /dev/pts/%d, %ux%u, session %d, %u and %u bytes unread%s%s",
			 record->number, record->columns, record->rows,
			 record->session, record->output, record->input,
			 record->flags & TTY_PACKET ? ", packets" : "",
			 record->flags & TTY_LOCKED ? ", locked" : "");
	else
		snprintf(line, size, "%.*s, %ux%u%s%s%s",
			 (int)record->path_length, view.path, record->columns,
			 record->rows,
			 record->flags & TTY_CONTROLLING ? ", controlling" : "",
			 record->flags & TTY_FOREGROUND ? ", foreground" : "",
			 record->flags & TTY_HUNG_UP ? ", hung up" : "");
}

const struct ckpt_restorer tty_restorer = {
	.kind = TTY_KIND,
	.name = "tty",
	.bonds = tty_bonds,
	.open = tty_open,
	.connect = tty_connect,
	.session = tty_session,
	.hold = tty_hold,
	.show = tty_show,
	.no_position = 1,
};
