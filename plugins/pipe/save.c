/* SPDX-License-Identifier: MIT */
/*
 * pipe, saving: pipes and FIFOs. Kept: content (looked at by tee(); only when
 * the user may have no more pipes of that size it is taken out and put back),
 * capacity, packet mode, both ends, every description of each, in whichever
 * processes they are. The first process that can read the pipe saves its
 * content.
 */
#define _GNU_SOURCE
#include <asm/ioctls.h>
#include <asm/poll.h>
#include <linux/stat.h>

#include <ckpt/plugin.h>

#include "plugins/pipe/format.h"
#include "sys/string.h"
#include "sys/sys.h"

#define PIPE_SPLICE_NONBLOCK 2 /* SPLICE_F_NONBLOCK */
#define LOCK_EX 2
#define PIPE_CHUNK 4096	       /* PIPE_BUF: no packet is longer */

enum pipe_ends { END_READ = 1, END_WRITE = 2 };

/* What one look over all descriptors tells of a pipe. */
struct pipe_ends_seen {
	unsigned ends;	/* enum pipe_ends: those in this process */
	uint32_t first;	/* its first object here has the content */
	int standard;
	int reader;	/* a descriptor to read from, -1 */
	int packets;	/* somebody writes packets */
};

static int pipe_matches(const struct ckpt_fd *fd)
{
	return (fd->st.mode & S_IFMT) == S_IFIFO &&
	       !(fd->status_flags & O_PATH);
}

static unsigned pipe_end(const struct ckpt_fd *fd)
{
	switch (fd->status_flags & O_ACCMODE) {
	case O_RDONLY:
		return END_READ;
	case O_WRONLY:
		return END_WRITE;
	}
	return END_READ | END_WRITE;
}

static struct pipe_ends_seen pipe_look(const struct ckpt_fd *fd)
{
	struct pipe_ends_seen seen = {.standard = -1, .reader = -1};
	const struct ckpt_fd *other = NULL;

	while ((other = ckpt_fd_by_inode(fd->st.dev, fd->st.ino, other))) {
		unsigned end = pipe_end(other);

		if (!pipe_matches(other))
			continue;
		seen.ends |= end;
		if (!seen.first || other->object < seen.first)
			seen.first = other->object;
		if (end == pipe_end(fd) && other->fd <= 2 && seen.standard < 0)
			seen.standard = other->fd;
		if (end & END_READ)
			seen.reader = other->fd;
		if ((end & END_WRITE) && (other->status_flags & O_DIRECT))
			seen.packets = 1;
	}
	return seen;
}

/* Nobody has the end that this process has not. */
static int pipe_alone(const struct ckpt_fd *fd, unsigned ends)
{
	struct {
		int fd;
		short events, revents;
	} poll = {fd->fd, 0, 0};
	struct __kernel_timespec now = {0, 0};

	if (ends == (END_READ | END_WRITE))
		return 0;
	SYS_CALL(SYS_ppoll, &poll, 1, &now, NULL, 0);
	return !!(poll.revents & (POLLHUP | POLLERR));
}

static int pipe_refuse(const struct ckpt_fd *fd, int error, const char *why)
{
	char number[24];
	struct sys_text text;

	sys_text_open(&text, number, sizeof(number));
	sys_text_number(&text, (uint64_t)fd->fd, 10);
	return ckpt_refuse(error, "fd ", number, " (", fd->target, "): ", why,
			   NULL);
}

static uint32_t pipe_unread(int fd)
{
	int unread = 0;

	return sys_ioctl(fd, FIONREAD, &unread) < 0 ? 0 : (uint32_t)unread;
}

/* Duplicates what is in the pipe into a scratch one. A read from there stops
 * at the end of a packet. Returns its reading end, or -errno. */
static int pipe_tee(int reader, uint32_t capacity, uint32_t unread)
{
	int scratch[2];
	long ret = SYS_CALL(SYS_pipe2, scratch, O_NONBLOCK | O_CLOEXEC);

	if (ret < 0)
		return (int)ret;
	/* As many slots as there: with one page in each, bytes do not count. */
	sys_fcntl(scratch[1], F_SETPIPE_SZ, capacity);
	ret = SYS_CALL(SYS_tee, reader, scratch[1], 0x7fffffff,
		       PIPE_SPLICE_NONBLOCK);
	sys_close(scratch[1]);
	if (ret == (long)unread)
		return scratch[0];
	sys_close(scratch[0]);
	return ret < 0 ? (int)ret : -ENOSPC;
}

static void pipe_put(struct ckpt_record *out, const char *data, uint32_t length)
{
	ckpt_put(out, &length, sizeof(length));
	ckpt_put(out, data, length);
}

static int pipe_content(int scratch, struct ckpt_record *out, uint32_t unread)
{
	static char buffer[PIPE_CHUNK];

	while (unread) {
		long got = sys_read(scratch, buffer, sizeof(buffer));

		if (got <= 0)
			return got < 0 ? (int)got : -EIO;
		pipe_put(out, buffer, (uint32_t)got);
		unread -= (uint32_t)got;
	}
	return 0;
}

static long pipe_again(int fd, int flags)
{
	char path[48];
	struct sys_text text;

	sys_text_open(&text, path, sizeof(path));
	sys_text_put(&text, "/proc/thread-self/fd/");
	sys_text_number(&text, (uint64_t)fd, 10);
	return sys_openat(AT_FDCWD, path, flags | O_NONBLOCK | O_CLOEXEC, 0);
}

/* All who write to it stand still, so what is taken out fits in again. Read
 * and written piece by piece, it stays in order: a round of the whole queue. */
static int pipe_rotate(int from, int packets, struct ckpt_record *out,
		       uint32_t unread)
{
	static char buffer[PIPE_CHUNK];
	long to = pipe_again(from, O_WRONLY), got = to;

	if (packets && got >= 0)
		got = sys_fcntl((int)to, F_SETFL, O_DIRECT | O_NONBLOCK);

	while (got >= 0 && unread) {
		got = sys_read(from, buffer,
			       unread < sizeof(buffer) ? unread :
							 sizeof(buffer));
		if (got <= 0)
			break;
		pipe_put(out, buffer, (uint32_t)got);
		unread -= (uint32_t)got;
		if (sys_write((int)to, buffer, (size_t)got) != got)
			got = -EIO;
	}
	if (to >= 0)
		sys_close((int)to);
	return got < 0 ? (int)got : 0;
}

static int pipe_look_inside(int from, int packets, struct ckpt_record *out,
			    const struct pipe_record *record)
{
	int scratch = ckpt_masked("tee") ?
			      -ENOSYS :
			      pipe_tee(from, record->capacity, record->content);
	int ret;

	if (scratch < 0)
		return pipe_rotate(from, packets, out, record->content);
	ret = pipe_content(scratch, out, record->content);
	sys_close(scratch);
	return ret;
}

static int pipe_save(const struct ckpt_fd *fd, struct ckpt_record *out)
{
	struct pipe_ends_seen seen = pipe_look(fd);
	struct pipe_record record = {
		.capacity = (uint32_t)sys_fcntl(fd->fd, F_GETPIPE_SZ, 0),
		.standard = seen.standard,
	};
	long from = -1;
	int ret = 0;

	if (!sys_starts(fd->target, "pipe:["))
		record.flags |= PIPE_NAMED | (fd->st.nlink ? 0 : PIPE_DELETED);
	if (record.flags & PIPE_NAMED)
		record.path_length = (uint32_t)sys_strlen(fd->target);
	if (pipe_alone(fd, seen.ends))
		record.flags |= PIPE_ALONE;
	if (seen.first == fd->object && seen.reader >= 0 &&
	    ckpt_claim(fd->st.dev, fd->st.ino)) {
		/* One process at a time, by a description of our own: another
		 * may be taking out and putting back. */
		from = pipe_again(seen.reader, O_RDONLY);
		if (from >= 0)
			SYS_CALL(SYS_flock, from, LOCK_EX);
		/* Made as another user: looking does not need one of our own. */
		if (from == -EACCES)
			from = sys_fcntl(seen.reader, F_DUPFD_CLOEXEC, 0);
		if (from < 0)
			return pipe_refuse(fd, (int)from,
					   "its content cannot be looked at");
		record.content = pipe_unread((int)from);
	}
	ckpt_put(out, &record, sizeof(record));
	ckpt_put(out, fd->target, record.path_length);
	if (record.content)
		ret = pipe_look_inside((int)from, seen.packets, out, &record);
	if (from >= 0)
		sys_close((int)from);
	return ret < 0 ? pipe_refuse(fd, ret, "its content cannot be looked at") :
			 0;
}

const struct ckpt_saver pipe_saver = {
	.kind = 68,
	.name = "pipe",
	.matches = pipe_matches,
	.save = pipe_save,
};
