/* SPDX-License-Identifier: MIT */
/*
 * pipe, restoring. The first object of a pipe makes it, fills it and gives
 * the other end to its object; further descriptions are opened by way of
 * /proc. A pipe that led outside is taken from ckpt_restart's standard
 * stream of the same number, or has its other end closed: a reader finds the
 * end of file, a writer SIGPIPE.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ckpt/plugin.h>

#include "plugins/pipe/format.h"

struct pipe_view {
	const struct pipe_record *record;
	char path[PATH_MAX];
	const char *chunks;
	size_t length; /* of all chunks with their heads */
};

static int pipe_view(const struct ckpt_object *object, struct pipe_view *view)
{
	const struct pipe_record *record = object->body;
	size_t left = object->length;

	if (left < sizeof(*record))
		return -EBADMSG;
	left -= sizeof(*record);
	if (record->path_length > left || record->path_length >= PATH_MAX)
		return -EBADMSG;
	memcpy(view->path, record + 1, record->path_length);
	view->path[record->path_length] = 0;
	view->record = record;
	view->chunks = (const char *)(record + 1) + record->path_length;
	view->length = left - record->path_length;
	return 0;
}

/* One write a chunk: in packet mode that is a packet. */
static int pipe_fill(int writer, const struct pipe_view *view)
{
	const char *at = view->chunks;
	size_t left = view->length;

	while (left >= sizeof(uint32_t)) {
		uint32_t length;

		memcpy(&length, at, sizeof(length));
		at += sizeof(length);
		left -= sizeof(length);
		if (length == 0)
			break; /* padding */
		if (length > left)
			return -EBADMSG;
		if (write(writer, at, length) != (ssize_t)length)
			return errno ? -errno : -EIO;
		at += length;
		left -= length;
	}
	return 0;
}

static int pipe_again(int fd, int flags)
{
	char path[40];
	int again;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, flags);
	return again < 0 ? -errno : again;
}

static int pipe_access(const struct ckpt_object *object)
{
	return (int)(object->status_flags & O_ACCMODE);
}

static void pipe_size(struct ckpt_restore *r, const struct ckpt_object *object,
		      int fd, uint32_t capacity)
{
	if (capacity == 0 || fcntl(fd, F_GETPIPE_SZ) == (int)capacity)
		return;
	if (fcntl(fd, F_SETPIPE_SZ, (int)capacity) < 0)
		ckpt_report(r, "%s: cannot have %u bytes again (%m): it has %d",
			    object->label, capacity, fcntl(fd, F_GETPIPE_SZ));
}

/* A new pipe with its content; ends[0] reads, ends[1] writes. */
static int pipe_make(struct ckpt_restore *r, const struct ckpt_object *object,
		     const struct pipe_view *view, int ends[2])
{
	int flags = O_CLOEXEC | O_NONBLOCK;
	int ret;

	if (view->record->flags & PIPE_PACKETS)
		flags |= O_DIRECT;
	if (pipe2(ends, flags) < 0)
		return -errno;
	pipe_size(r, object, ends[1], view->record->capacity);
	ret = pipe_fill(ends[1], view);
	if (ret < 0) {
		ckpt_report(r, "%s: cannot fill it again: %s", object->label,
			    strerror(-ret));
		close(ends[0]);
		close(ends[1]);
	}
	return ret;
}

static int pipe_open_new(struct ckpt_restore *r,
			 const struct ckpt_object *object,
			 const struct pipe_view *view)
{
	int access = pipe_access(object);
	int ends[2], mine, other;
	int ret = pipe_make(r, object, view, ends);

	if (ret < 0)
		return ret;
	if (access == O_RDWR) {
		mine = pipe_again(ends[0], O_RDWR | O_CLOEXEC);
		close(ends[0]);
		close(ends[1]);
		return mine;
	}
	mine = access == O_RDONLY ? ends[0] : ends[1];
	other = access == O_RDONLY ? ends[1] : ends[0];
	if (view->record->peer) {
		ret = ckpt_adopt(r, view->record->peer, other);
		if (ret < 0) {
			close(mine);
			return ret;
		}
	} else {
		close(other);
	}
	return mine;
}

/* A FIFO: a moment open for both, so that neither end waits for the other. */
static int pipe_open_named(struct ckpt_restore *r,
			   const struct ckpt_object *object,
			   const struct pipe_view *view)
{
	int both = open(view->path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	struct stat st;
	int fd, ret = 0;

	if (both < 0 || fstat(both, &st) < 0 || !S_ISFIFO(st.st_mode)) {
		if (both >= 0)
			close(both);
		ckpt_report(r, "%s: the FIFO %s is not there any more; a pipe "
			       "stands for it", object->label, view->path);
		return pipe_open_new(r, object, view);
	}
	if (view->record->first == object->id) {
		pipe_size(r, object, both, view->record->capacity);
		ret = pipe_fill(both, view);
	}
	fd = ret < 0 ? ret :
		       pipe_again(both, pipe_access(object) | O_NONBLOCK |
						O_CLOEXEC);
	close(both);
	return fd;
}

static int pipe_open(struct ckpt_restore *r, const struct ckpt_object *object)
{
	struct pipe_view view;
	int ret = pipe_view(object, &view);
	int first;

	if (ret < 0)
		return ret;
	if (view.record->standard >= 0) {
		if (view.record->unread)
			ckpt_report(r,
				    "%s: %u bytes that waited there are gone",
				    object->label, view.record->unread);
		return ckpt_standard_stream(r, view.record->standard);
	}
	if ((view.record->flags & PIPE_NAMED) &&
	    !(view.record->flags & PIPE_DELETED))
		return pipe_open_named(r, object, &view);
	if (view.record->flags & PIPE_OUTSIDE)
		ckpt_report(r,
			    "%s: its other end was outside the computation; "
			    "it is closed now", object->label);
	first = object->id == view.record->first ?
			-1 :
			ckpt_object_fd(r, view.record->first);
	if (first >= 0)
		return pipe_again(first, pipe_access(object) | O_CLOEXEC |
						 O_NONBLOCK);
	return pipe_open_new(r, object, &view);
}

static void pipe_show(const struct ckpt_object *object, char *line, size_t size)
{
	struct pipe_view view;

	if (pipe_view(object, &view) < 0)
		return;
	snprintf(line, size, "%s%s, capacity %u, %u bytes in it%s%s",
		 view.record->flags & PIPE_NAMED ? "FIFO " : "pipe",
		 view.path, view.record->capacity,
		 view.record->content + view.record->unread,
		 view.record->flags & PIPE_PACKETS ? ", packets" : "",
		 view.record->flags & PIPE_OUTSIDE ? ", other end outside" : "");
}

const struct ckpt_restorer pipe_restorer = {
	.kind = 68,
	.name = "pipe",
	.open = pipe_open,
	.show = pipe_show,
	.no_position = 1,
};
