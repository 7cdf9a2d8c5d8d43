/* SPDX-License-Identifier: MIT */
/*
 * unixsock, restoring. open() makes the sockets: two ends of a connection at
 * once, by way of the listener that it came from where that is there, so that
 * names are right. connect() fills the queues through the other end, then
 * closes the halves that were closed. What led outside has a closed other end.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <ckpt/plugin.h>

#include "plugins/sockopt_restore.h"
#include "plugins/unixsock/format.h"

#define UNIXSOCK_FILL (8 << 20) /* a send buffer in which any queue fits */

struct unixsock_view {
	const struct unixsock_record *record;
	char directory[PATH_MAX];
	const unsigned char *chunks;
	size_t length;
};

static int unixsock_view(const struct ckpt_object *object,
			 struct unixsock_view *view)
{
	const struct unixsock_record *record = object->body;
	size_t left = object->length;

	if (left < sizeof(*record))
		return -EBADMSG;
	left -= sizeof(*record);
	if (record->directory_length > left ||
	    record->directory_length >= PATH_MAX ||
	    record->name.length > UNIXSOCK_NAME ||
	    record->peer_name.length > UNIXSOCK_NAME)
		return -EBADMSG;
	memcpy(view->directory, record + 1, record->directory_length);
	view->directory[record->directory_length] = 0;
	view->record = record;
	view->chunks = (const unsigned char *)(record + 1) +
		       record->directory_length;
	view->length = left - record->directory_length;
	return 0;
}

/* ---- names ---- */

static const struct sockaddr *unixsock_address(const struct unixsock_name *name)
{
	return (const struct sockaddr *)name->address;
}

static const char *unixsock_path(const struct unixsock_name *name)
{
	return (const char *)name->address + 2;
}

static int unixsock_is_path(const struct unixsock_name *name)
{
	return name->length > 2 && name->address[2];
}

/* A file of a socket that nobody serves any more is in the way. */
static void unixsock_clear(const struct unixsock_record *record)
{
	struct stat st;
	int probe, ret;

	if (lstat(unixsock_path(&record->name), &st) < 0 ||
	    !S_ISSOCK(st.st_mode))
		return;
	probe = socket(AF_UNIX, (int)record->type | SOCK_NONBLOCK, 0);
	if (probe < 0)
		return;
	ret = connect(probe, unixsock_address(&record->name),
		      record->name.length);
	if (ret < 0 && errno == ECONNREFUSED)
		unlink(unixsock_path(&record->name));
	close(probe);
}

static int unixsock_bind_here(int fd, const struct unixsock_record *record)
{
	const char *path = unixsock_path(&record->name);

	if (!unixsock_is_path(&record->name))
		return bind(fd, unixsock_address(&record->name),
			    record->name.length);
	unixsock_clear(record);
	if (bind(fd, unixsock_address(&record->name), record->name.length) < 0)
		return -1;
	if (record->flags & UNIXSOCK_FILE)
		return chmod(path, record->mode);
	return unlink(path);
}

/* A relative name begins where the process stood. */
static void unixsock_bind(struct ckpt_restore *r,
			  const struct ckpt_object *object, int fd,
			  const struct unixsock_view *view)
{
	int here, ret;

	if (!view->record->name.length)
		return;
	here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (view->directory[0] && chdir(view->directory) < 0)
		ret = -1;
	else
		ret = unixsock_bind_here(fd, view->record);
	if (ret < 0)
		ckpt_report(r, "%s: cannot have its name %s%.*s again: %m",
			    object->label,
			    unixsock_is_path(&view->record->name) ? "" : "@",
			    (int)view->record->name.length - 2,
			    unixsock_path(&view->record->name) +
				    !unixsock_is_path(&view->record->name));
	if (view->directory[0] && here >= 0 && fchdir(here) < 0)
		ckpt_report(r, "%s: %m", object->label);
	if (here >= 0)
		close(here);
}

/* ---- making ---- */

static int unixsock_single(struct ckpt_restore *r,
			   const struct ckpt_object *object,
			   const struct unixsock_view *view)
{
	int fd = socket(AF_UNIX, (int)view->record->type | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	unixsock_bind(r, object, fd, view);
	if ((view->record->flags & UNIXSOCK_LISTENS) &&
	    listen(fd, (int)view->record->backlog) < 0)
		ckpt_report(r, "%s: cannot listen again: %m", object->label);
	return fd;
}

/* The way it was made: ends[0] called, ends[1] was accepted. Anybody may call
 * at that name; ours is the one from this process. */
static int unixsock_by_listener(int listener, uint32_t type, int ends[2])
{
	struct sockaddr_un address;
	socklen_t length = sizeof(address), size = sizeof(struct ucred);
	struct ucred who = {0};

	if (getsockname(listener, (struct sockaddr *)&address, &length) < 0)
		return -1;
	ends[0] = socket(AF_UNIX, (int)type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (ends[0] < 0)
		return -1;
	if (connect(ends[0], (struct sockaddr *)&address, length) < 0)
		goto out;
	ends[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (ends[1] < 0)
		goto out;
	if (getsockopt(ends[1], SOL_SOCKET, SO_PEERCRED, &who, &size) == 0 &&
	    who.pid == getpid()) {
		fcntl(ends[0], F_SETFL, 0);
		return 0;
	}
	close(ends[1]);
out:
	close(ends[0]);
	return -1;
}

static int unixsock_pair(struct ckpt_restore *r,
			 const struct unixsock_record *record, int ends[2])
{
	int listener = record->listener ? ckpt_object_fd(r, record->listener) :
					  -1;
	int accepted = record->name.length > 0;
	int made[2];

	if (listener >= 0 &&
	    unixsock_by_listener(listener, record->type, made) == 0) {
		ends[0] = made[accepted];
		ends[1] = made[!accepted];
		return 0;
	}
	return socketpair(AF_UNIX, (int)record->type | SOCK_CLOEXEC, 0, ends) <
			       0 ?
		       -errno :
		       0;
}

/* ---- filling ---- */

static int unixsock_room(int fd)
{
	int now = 0, room = UNIXSOCK_FILL;
	socklen_t length = sizeof(now);

	getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &now, &length);
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	return now / 2;
}

/* The next message: the bytes of its chunks, moved together in `message`. */
static ssize_t unixsock_message(struct unixsock_view *view, char *message,
				size_t size, uint32_t *sender)
{
	struct unixsock_chunk chunk = {.more = 1};
	size_t length = 0;

	while (chunk.more) {
		if (view->length < sizeof(chunk))
			return -EBADMSG;
		memcpy(&chunk, view->chunks, sizeof(chunk));
		view->chunks += sizeof(chunk);
		view->length -= sizeof(chunk);
		if (chunk.length > view->length || chunk.length > size - length)
			return -EBADMSG;
		memcpy(message + length, view->chunks, chunk.length);
		view->chunks += chunk.length;
		view->length -= chunk.length;
		length += chunk.length;
	}
	*sender = chunk.sender;
	return (ssize_t)length;
}

static int unixsock_fill(struct ckpt_restore *r, struct unixsock_view *view,
			 int writer)
{
	static char message[4 << 20];
	int room = unixsock_room(writer), value = room, ret = 0;

	while (ret == 0 && view->length) {
		uint32_t sender = 0;
		ssize_t length = unixsock_message(view, message,
						  sizeof(message), &sender);
		const struct sockaddr *to = NULL;
		socklen_t to_length = 0;
		int fd = sender ? ckpt_object_fd(r, sender) : -1;

		if (length < 0)
			return (int)length;
		if (view->record->type == SOCK_DGRAM && !view->record->peer) {
			to = unixsock_address(&view->record->name);
			to_length = view->record->name.length;
		}
		if (sendto(fd < 0 ? writer : fd, message, (size_t)length,
			   MSG_DONTWAIT | MSG_NOSIGNAL, to, to_length) != length)
			ret = errno ? -errno : -EIO;
	}
	setsockopt(writer, SOL_SOCKET, SO_SNDBUF, &value, sizeof(value));
	return ret;
}

/* The other end is nobody's: it fills the queue and goes. */
static int unixsock_alone(struct ckpt_restore *r,
			  const struct ckpt_object *object,
			  struct unixsock_view *view)
{
	int ends[2], ret;

	if (socketpair(AF_UNIX, (int)view->record->type | SOCK_CLOEXEC, 0,
		       ends) < 0)
		return -errno;
	unixsock_bind(r, object, ends[0], view);
	ret = unixsock_fill(r, view, ends[1]);
	close(ends[1]);
	if (view->record->flags & UNIXSOCK_PEER_OUTSIDE)
		ckpt_report(r,
			    "%s: its other end was outside the computation; "
			    "it is closed now", object->label);
	if (ret == 0)
		return ends[0];
	close(ends[0]);
	return ret;
}

static int unixsock_both(struct ckpt_restore *r,
			 const struct unixsock_record *record)
{
	int ends[2];
	int ret = unixsock_pair(r, record, ends);

	if (ret < 0)
		return ret;
	ret = ckpt_adopt(r, record->peer, ends[1]);
	if (ret == 0)
		return ends[0];
	close(ends[0]);
	return ret;
}

static int unixsock_open(struct ckpt_restore *r,
			 const struct ckpt_object *object)
{
	struct unixsock_view view;
	int ret = unixsock_view(object, &view);
	uint32_t flags;

	if (ret < 0)
		return ret;
	flags = view.record->flags;
	if (view.record->standard >= 0)
		return ckpt_standard_stream(r, view.record->standard);
	if (flags & (UNIXSOCK_LISTENS | UNIXSOCK_WAITS) ||
	    !(flags & UNIXSOCK_CONNECTED))
		return unixsock_single(r, object, &view);
	/* A datagram socket that has a peer by name is one for itself. */
	if (view.record->type == SOCK_DGRAM &&
	    (view.record->name.length || view.record->peer_name.length))
		return unixsock_single(r, object, &view);
	if (view.record->peer)
		return unixsock_both(r, view.record);
	return unixsock_alone(r, object, &view);
}

/* ---- connecting ---- */

static int unixsock_fill_datagrams(struct ckpt_restore *r,
				   struct unixsock_view *view)
{
	int writer, ret;

	if (!view->length)
		return 0;
	writer = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (writer < 0)
		return -errno;
	ret = unixsock_fill(r, view, writer);
	close(writer);
	return ret;
}

static void unixsock_call(struct ckpt_restore *r,
			  const struct ckpt_object *object, int fd,
			  const struct unixsock_record *record)
{
	int flags = fcntl(fd, F_GETFL);

	fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	if (connect(fd, unixsock_address(&record->peer_name),
		    record->peer_name.length) < 0)
		ckpt_report(r, "%s: cannot connect to %.*s again: %m",
			    object->label, (int)record->peer_name.length - 2,
			    unixsock_path(&record->peer_name) +
				    !unixsock_is_path(&record->peer_name));
	fcntl(fd, F_SETFL, flags);
}

static int unixsock_queues(struct ckpt_restore *r,
			   const struct ckpt_object *object,
			   struct unixsock_view *view, int fd)
{
	const struct unixsock_record *record = view->record;
	int datagram = record->type == SOCK_DGRAM;
	int other, ret = 0;

	if (datagram && (record->name.length || record->peer_name.length)) {
		/* First the queue: afterwards only the peer may send. */
		ret = record->name.length ?
			      unixsock_fill_datagrams(r, view) : 0;
		if ((record->flags & UNIXSOCK_CONNECTED) &&
		    record->peer_name.length)
			unixsock_call(r, object, fd, record);
	} else if (record->flags & UNIXSOCK_WAITS) {
		unixsock_call(r, object, fd, record);
	} else if (record->peer) {
		other = ckpt_object_fd(r, record->peer);
		ret = other < 0 ? 0 : unixsock_fill(r, view, other);
		/* The second of the two closes halves, when both are full. */
		if (record->peer < object->id || other < 0) {
			if (record->shutdown & 1)
				shutdown(fd, SHUT_RD);
			if (record->shutdown & 2)
				shutdown(fd, SHUT_WR);
		}
	}
	return ret;
}

static int unixsock_connect(struct ckpt_restore *r,
			    const struct ckpt_object *object, int fd)
{
	struct unixsock_view view;
	int ret = unixsock_view(object, &view);

	if (ret < 0)
		return ret;
	if (view.record->standard >= 0)
		return 0;
	ret = unixsock_queues(r, object, &view, fd);
	if (ret < 0)
		ckpt_report(r, "%s: its queue cannot be filled again: %s",
			    object->label, strerror(-ret));
	sockopt_restore(fd, &view.record->options);
	if (view.record->peek_offset >= 0)
		setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF,
			   &view.record->peek_offset, sizeof(int));
	return ret;
}

static void unixsock_show(const struct ckpt_object *object, char *line,
			  size_t size)
{
	struct unixsock_view view;

	if (unixsock_view(object, &view) < 0)
		return;
	snprintf(line, size, "unix %s%s%.*s%s%s, %zu bytes of queue",
		 view.record->type == SOCK_STREAM ? "stream" :
		 view.record->type == SOCK_DGRAM  ? "datagrams" : "packets",
		 view.record->name.length ? " " : "",
		 view.record->name.length ? (int)view.record->name.length - 2 : 0,
		 unixsock_path(&view.record->name) +
			 !unixsock_is_path(&view.record->name),
		 view.record->flags & UNIXSOCK_LISTENS ? ", listens" : "",
		 view.record->flags & UNIXSOCK_PEER_OUTSIDE ?
			 ", other end outside" : "", view.length);
}

const struct ckpt_restorer unixsock_restorer = {
	.kind = 73,
	.name = "unixsock",
	.open = unixsock_open,
	.connect = unixsock_connect,
	.show = unixsock_show,
	.no_position = 1,
};
