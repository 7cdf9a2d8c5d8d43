/* SPDX-License-Identifier: MIT */
/*
 * pipe, restoring. The first object of a pipe makes it, fills it and gives
 * the other end to one that has it; further descriptions are opened by way of
 * /proc. A pipe whose other end is in none of the processes led outside: it
 * is taken from ckpt_restart's standard stream of the same number, or has its
 * other end closed: a reader finds the end of file, a writer SIGPIPE.
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

/* Another description of the same pipe; a FIFO's inode may be that of some
 * pipe, too. */
static const struct ckpt_object *pipe_next(struct ckpt_restore *r,
					   const struct ckpt_object *object,
					   const struct ckpt_object *after)
{
	do
		after = ckpt_object_by_inode(r, object->kind, object->ino,
					     after);
	while (after && after->dev != object->dev);
	return after;
}

struct pipe_party {
	int ends[3];	  /* how many have it: by O_RDONLY ... */
	int packets;
	int made;	  /* a descriptor of one that is there already; -1 */
	uint32_t partner; /* the first that has the other end */
};

static struct pipe_party pipe_party(struct ckpt_restore *r,
				    const struct ckpt_object *object)
{
	const struct ckpt_object *other = NULL;
	struct pipe_party party = {.made = -1};
	int access;

	while ((other = pipe_next(r, object, other))) {
		access = pipe_access(other) % 3;
		party.ends[access]++;
		party.packets |= access != O_RDONLY &&
				 (other->status_flags & O_DIRECT);
		if (party.made < 0)
			party.made = ckpt_object_fd(r, other->id);
		if (!party.partner && access != O_RDWR &&
		    access != pipe_access(object))
			party.partner = other->id;
	}
	return party;
}

static int pipe_both_ends(const struct pipe_party *party)
{
	return party->ends[O_RDWR] ||
	       (party->ends[O_RDONLY] && party->ends[O_WRONLY]);
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

/* Every record that has the content has the same. */
static int pipe_fill_any(struct ckpt_restore *r,
			 const struct ckpt_object *object, int writer)
{
	const struct ckpt_object *other = NULL, *record;
	struct pipe_view view;
	size_t nth;

	while ((other = pipe_next(r, object, other)))
		for (nth = 0; (record = ckpt_object_record(r, other, nth));
		     nth++)
			if (pipe_view(record, &view) == 0 &&
			    view.record->content)
				return pipe_fill(writer, &view);
	return 0;
}

/* A new pipe with its content; ends[0] reads, ends[1] writes. */
static int pipe_make(struct ckpt_restore *r, const struct ckpt_object *object,
		     const struct pipe_view *view,
		     const struct pipe_party *party, int ends[2])
{
	int ret;

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK |
				(party->packets ? O_DIRECT : 0)) < 0)
		return -errno;
	pipe_size(r, object, ends[1], view->record->capacity);
	ret = pipe_fill_any(r, object, ends[1]);
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
			 const struct pipe_view *view,
			 const struct pipe_party *party)
{
	int access = pipe_access(object);
	int ends[2], mine, other;
	int ret = pipe_make(r, object, view, party, ends);

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
	if (!party->partner) {
		close(other);
		return mine;
	}
	ret = ckpt_adopt(r, party->partner, other);
	if (ret == 0)
		return mine;
	close(mine);
	return ret;
}

/* A FIFO: a moment open for both, so that neither end waits for the other. */
static int pipe_open_named(struct ckpt_restore *r,
			   const struct ckpt_object *object,
			   const struct pipe_view *view,
			   const struct pipe_party *party)
{
	int both = open(view->path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	struct stat st;
	int fd, ret = 0;

	if (both < 0 || fstat(both, &st) < 0 || !S_ISFIFO(st.st_mode)) {
		if (both >= 0)
			close(both);
		ckpt_report(r, "%s: the FIFO %s is not there any more; a pipe "
			       "stands for it", object->label, view->path);
		return pipe_open_new(r, object, view, party);
	}
	pipe_size(r, object, both, view->record->capacity);
	if (party->packets)
		fcntl(both, F_SETFL, O_NONBLOCK | O_DIRECT);
	ret = pipe_fill_any(r, object, both);
	fd = ret < 0 ? ret :
		       pipe_again(both, pipe_access(object) | O_NONBLOCK |
						O_CLOEXEC);
	close(both);
	return fd;
}

static void pipe_report_outside(struct ckpt_restore *r,
				const struct ckpt_object *object,
				const struct pipe_view *view)
{
	if (view->record->standard < 0)
		ckpt_report(r,
			    "%s: its other end was outside the computation; "
			    "it is closed now", object->label);
	else if (view->record->content)
		ckpt_report(r, "%s: %u bytes that waited there are gone",
			    object->label, view->record->content);
}

static int pipe_open(struct ckpt_restore *r, const struct ckpt_object *object)
{
	struct pipe_party party = pipe_party(r, object);
	struct pipe_view view;
	int ret = pipe_view(object, &view);

	if (ret < 0)
		return ret;
	if (!pipe_both_ends(&party) && !(view.record->flags & PIPE_ALONE) &&
	    (view.record->standard >= 0 ||
	     !(view.record->flags & PIPE_NAMED))) {
		pipe_report_outside(r, object, &view);
		if (view.record->standard >= 0)
			return ckpt_standard_stream(r, view.record->standard);
	}
	if (party.made >= 0)
		return pipe_again(party.made, pipe_access(object) | O_CLOEXEC |
						      O_NONBLOCK);
	if ((view.record->flags & PIPE_NAMED) &&
	    !(view.record->flags & PIPE_DELETED))
		return pipe_open_named(r, object, &view, &party);
	return pipe_open_new(r, object, &view, &party);
}

static void pipe_bonds(const struct ckpt_object *object,
		       struct ckpt_bonds *bonds)
{
	uint64_t pipe = object->dev << 40 ^ object->ino;

	ckpt_bond(bonds, pipe);
	ckpt_bond_same(bonds, pipe << 2 | (uint64_t)pipe_access(object), 0);
}

static void pipe_show(const struct ckpt_object *object, char *line, size_t size)
{
	struct pipe_view view;

	if (pipe_view(object, &view) < 0)
		return;
	snprintf(line, size, "%s%s, capacity %u, %u bytes in it%s%s",
		 view.record->flags & PIPE_NAMED ? "FIFO " : "pipe",
		 view.path, view.record->capacity, view.record->content,
		 object->status_flags & O_DIRECT ? ", packets" : "",
		 view.record->flags & PIPE_ALONE ? ", other end closed" : "");
}

const struct ckpt_restorer pipe_restorer = {
	.kind = 68,
	.name = "pipe",
	.bonds = pipe_bonds,
	.open = pipe_open,
	.show = pipe_show,
	.no_position = 1,
};
