/* SPDX-License-Identifier: MIT */
/*
 * pipe, saving: pipes and FIFOs. Kept: content (looked at by tee(); only when
 * the user may have no more pipes of that size it is taken out and put back),
 * capacity, packet mode, both ends, every description of each.
 * Of a pipe whose other end is outside the computation nothing is kept but
 * which standard stream it was: what it holds belongs to somebody else.
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
#define PIPE_CHUNK 4096	       /* PIPE_BUF: no packet is longer */

enum pipe_ends { END_READ = 1, END_WRITE = 2 };

/* What one look over all descriptors tells of a pipe. */
struct pipe_ends_seen {
	unsigned ends;	/* enum pipe_ends: those in this process */
	uint32_t first, peer;
	int standard;
	int reader;	/* a descriptor to read from, -1 */
	unsigned packets;
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
	size_t i;

	for (i = 0; i < ckpt_fd_count(); i++) {
		const struct ckpt_fd *other = ckpt_fd_at(i);
		unsigned end = pipe_end(other);

		if (!pipe_matches(other) || other->st.ino != fd->st.ino ||
		    other->st.dev != fd->st.dev)
			continue;
		seen.ends |= end;
		if (!seen.first || other->object < seen.first)
			seen.first = other->object;
		if (end == (pipe_end(fd) ^ (END_READ | END_WRITE)) &&
		    !seen.peer)
			seen.peer = other->object;
		if (end == pipe_end(fd) && other->fd <= 2 && seen.standard < 0)
			seen.standard = other->fd;
		if (end & END_READ)
			seen.reader = other->fd;
		if ((end & END_WRITE) && (other->status_flags & O_DIRECT))
			seen.packets = PIPE_PACKETS;
	}
	return seen;
}

/* Somebody has the end that this process has not. */
static int pipe_held_outside(const struct ckpt_fd *fd, unsigned ends)
{
	struct {
		int fd;
		short events, revents;
	} poll = {fd->fd, 0, 0};
	struct __kernel_timespec now = {0, 0};

	if (ends == (END_READ | END_WRITE))
		return 0;
	SYS_CALL(SYS_ppoll, &poll, 1, &now, NULL, 0);
	return !(poll.revents & (POLLHUP | POLLERR));
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

/* Both ends are in this process and everybody stands still, so what is taken
 * out fits in again. Read and written piece by piece, it stays in order: a
 * round of the whole queue. */
static int pipe_rotate(int reader, unsigned packets, struct ckpt_record *out,
		       uint32_t unread)
{
	static char buffer[PIPE_CHUNK];
	long from = pipe_again(reader, O_RDONLY);
	long to = pipe_again(reader, O_WRONLY);
	long got = from < 0 ? from : to;

	if (packets && got >= 0)
		got = sys_fcntl((int)to, F_SETFL, O_DIRECT | O_NONBLOCK);

	while (got >= 0 && unread) {
		got = sys_read((int)from, buffer,
			       unread < sizeof(buffer) ? unread :
							 sizeof(buffer));
		if (got <= 0)
			break;
		pipe_put(out, buffer, (uint32_t)got);
		unread -= (uint32_t)got;
		if (sys_write((int)to, buffer, (size_t)got) != got)
			got = -EIO;
	}
	if (from >= 0)
		sys_close((int)from);
	if (to >= 0)
		sys_close((int)to);
	return got < 0 ? (int)got : 0;
}

static int pipe_save(const struct ckpt_fd *fd, struct ckpt_record *out)
{
	struct pipe_ends_seen seen = pipe_look(fd);
	struct pipe_record record = {
		.dev = fd->st.dev,
		.ino = fd->st.ino,
		.flags = seen.packets,
		.capacity = (uint32_t)sys_fcntl(fd->fd, F_GETPIPE_SZ, 0),
		.first = seen.first,
		.peer = seen.peer,
		.standard = -1,
	};
	int scratch = -1, ret = 0;

	if (!sys_starts(fd->target, "pipe:["))
		record.flags |= PIPE_NAMED | (fd->st.nlink ? 0 : PIPE_DELETED);
	if (record.flags & PIPE_NAMED)
		record.path_length = (uint32_t)sys_strlen(fd->target);
	if (pipe_held_outside(fd, seen.ends)) {
		record.flags |= PIPE_OUTSIDE;
		record.standard = seen.standard;
		if (seen.ends & END_READ)
			record.unread = pipe_unread(seen.reader);
	} else if (seen.first == fd->object && seen.reader >= 0) {
		record.content = pipe_unread(seen.reader);
	}
	ckpt_put(out, &record, sizeof(record));
	ckpt_put(out, fd->target, record.path_length);
	if (!record.content)
		return 0;
	if (!ckpt_masked("tee"))
		scratch = pipe_tee(seen.reader, record.capacity, record.content);
	if (scratch >= 0) {
		ret = pipe_content(scratch, out, record.content);
		sys_close(scratch);
	} else {
		ret = pipe_rotate(seen.reader, seen.packets, out,
				  record.content);
	}
	return ret < 0 ? pipe_refuse(fd, ret, "its content cannot be looked at") :
			 0;
}

const struct ckpt_saver pipe_saver = {
	.kind = 68,
	.name = "pipe",
	.matches = pipe_matches,
	.save = pipe_save,
};
