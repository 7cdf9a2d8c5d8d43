/* SPDX-License-Identifier: MIT */
/*
 * unixsock, restoring. Both ends of a connection are made at once, by way of
 * the listener that it came from where that is there, so that names are
 * right; each by the process that made it then, so that SO_PEERCRED is. A
 * listener is made with all its connections: those that were accepted first,
 * then those that wait. connect() fills the queues through the other end,
 * then closes the halves that were closed. What led outside has a closed
 * other end.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <ckpt/plugin.h>

#include "plugins/sockopt_restore.h"
#include "plugins/unixsock/format.h"

#define UNIXSOCK_KIND 73
#define UNIXSOCK_FILL (8 << 20) /* a send buffer in which any queue fits */

struct unixsock_view {
	const struct ckpt_object *object;
	const struct unixsock_record *record;
	const unsigned char *waiting; /* inodes, unaligned */
	char directory[PATH_MAX];
	const unsigned char *chunks;
	size_t length;
};

static int unixsock_view(const struct ckpt_object *object,
			 struct unixsock_view *view)
{
	const struct unixsock_record *record = object->body;
	size_t left = object->length, waiting;

	if (left < sizeof(*record))
		return -EBADMSG;
	left -= sizeof(*record);
	waiting = record->waiting_count * sizeof(uint32_t);
	if (waiting > left || record->directory_length > left - waiting ||
	    record->directory_length >= PATH_MAX ||
	    record->name.length > UNIXSOCK_NAME ||
	    record->peer_name.length > UNIXSOCK_NAME)
		return -EBADMSG;
	view->object = object;
	view->record = record;
	view->waiting = (const unsigned char *)(record + 1);
	memcpy(view->directory, view->waiting + waiting,
	       record->directory_length);
	view->directory[record->directory_length] = 0;
	view->chunks = view->waiting + waiting + record->directory_length;
	view->length = left - waiting - record->directory_length;
	return 0;
}

static uint32_t unixsock_waiting(const struct unixsock_view *view, uint32_t i)
{
	uint32_t ino;

	memcpy(&ino, view->waiting + i * sizeof(ino), sizeof(ino));
	return ino;
}

static const struct ckpt_object *unixsock_by_ino(struct ckpt_restore *r,
						 uint64_t ino)
{
	return ino ? ckpt_object_by_inode(r, UNIXSOCK_KIND, ino, NULL) : NULL;
}

/* What he who looked tells of the socket holds. */
static const struct unixsock_record *
unixsock_truth(struct ckpt_restore *r, const struct unixsock_view *view)
{
	const struct ckpt_object *record;
	size_t nth;

	for (nth = 0; (record = ckpt_object_record(r, view->object, nth));
	     nth++) {
		const struct unixsock_record *truth = record->body;

		if (record->length >= sizeof(*truth) &&
		    (truth->flags & UNIXSOCK_LOOKED))
			return truth;
	}
	return view->record;
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

/* 1: it has one. */
static int unixsock_own_name(int fd, struct unixsock_name *name)
{
	name->length = sizeof(name->address);
	if (getsockname(fd, (struct sockaddr *)name->address, &name->length) <
		    0 ||
	    name->length <= sizeof(sa_family_t) ||
	    name->length > sizeof(name->address))
		name->length = 0;
	return name->length != 0;
}

static int unixsock_is_path(const struct unixsock_name *name)
{
	return name->length > 2 && name->address[2];
}

static int unixsock_same_name(const struct unixsock_name *a,
			      const struct unixsock_name *b)
{
	return a->length && a->length == b->length &&
	       memcmp(a->address, b->address, a->length) == 0;
}

/* A relative name begins where the process stood. Returns where we stood, for
 * unixsock_go_back(); -1: it is no matter. */
static int unixsock_go(const struct unixsock_view *view)
{
	int here;

	if (!view->directory[0])
		return -1;
	here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (here >= 0 && chdir(view->directory) < 0) {
		close(here);
		return -1;
	}
	return here;
}

static void unixsock_go_back(int here)
{
	int error = errno;

	if (here < 0)
		return;
	if (fchdir(here) < 0)
		error = errno;
	close(here);
	errno = error;
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
	return record->flags & UNIXSOCK_FILE ? chmod(path, record->mode) : 0;
}

static void unixsock_bind(struct ckpt_restore *r,
			  const struct unixsock_view *view, int fd)
{
	const struct unixsock_name *name = &view->record->name;
	int here, ret;

	if (!name->length)
		return;
	here = unixsock_go(view);
	ret = unixsock_bind_here(fd, view->record);
	unixsock_go_back(here);
	if (ret < 0)
		ckpt_report(r, "%s: cannot have its name %s%.*s again: %m",
			    view->object->label,
			    unixsock_is_path(name) ? "" : "@",
			    (int)name->length - 2,
			    unixsock_path(name) + !unixsock_is_path(name));
}

/* It had no name in the file system any more, or another one's was there. */
static void unixsock_unlink(const struct unixsock_view *view)
{
	int here;

	if (!unixsock_is_path(&view->record->name) ||
	    (view->record->flags & UNIXSOCK_FILE))
		return;
	here = unixsock_go(view);
	unlink(unixsock_path(&view->record->name));
	unixsock_go_back(here);
}

/* ---- as the process that did it ---- */

struct unixsock_pair {
	int type, ends[2];
};

static int unixsock_pair(void *argument)
{
	struct unixsock_pair *pair = argument;

	return socketpair(AF_UNIX, pair->type | SOCK_CLOEXEC, 0, pair->ends) <
			       0 ?
		       -errno :
		       0;
}

struct unixsock_listen {
	int fd, backlog;
};

static int unixsock_listen(void *argument)
{
	const struct unixsock_listen *listening = argument;

	return listen(listening->fd, listening->backlog) < 0 ? -errno : 0;
}

struct unixsock_call {
	int fd;
	socklen_t length;
	struct sockaddr_un address;
};

/* Not to wait for room in a backlog. */
static int unixsock_call(void *argument)
{
	struct unixsock_call *call = argument;
	int flags = fcntl(call->fd, F_GETFL), ret;

	fcntl(call->fd, F_SETFL, flags | O_NONBLOCK);
	ret = connect(call->fd, (struct sockaddr *)&call->address,
		      call->length);
	ret = ret < 0 ? -errno : 0;
	fcntl(call->fd, F_SETFL, flags);
	return ret;
}

/* ---- making ---- */

static int unixsock_new(struct ckpt_restore *r,
			const struct unixsock_view *view)
{
	int fd = socket(AF_UNIX, (int)view->record->type | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	unixsock_bind(r, view, fd);
	return fd;
}

/* Calls at the listener: `client` is the view of the end that calls, or NULL
 * for one of nobody. A connected socket, or -errno. */
static int unixsock_dial(struct ckpt_restore *r,
			 const struct unixsock_view *listener, int listening,
			 const struct unixsock_view *client, int pid)
{
	struct unixsock_call call = {
		.length = sizeof(call.address),
	};
	int here, ret;

	if (getsockname(listening, (struct sockaddr *)&call.address,
			&call.length) < 0)
		return -errno;
	call.fd = client ? unixsock_new(r, client) :
			   socket(AF_UNIX,
				  (int)listener->record->type | SOCK_CLOEXEC,
				  0);
	if (call.fd < 0)
		return client ? call.fd : -errno;
	here = unixsock_go(listener);
	ret = ckpt_as(r, pid, unixsock_call, &call, sizeof(call));
	unixsock_go_back(here);
	if (ret == 0)
		return call.fd;
	close(call.fd);
	return ret;
}

/* Anybody may call at that name; ours is the one from `pid` or from us. */
static int unixsock_accept(int listening, int pid)
{
	struct ucred who = {0};
	socklen_t size = sizeof(who);
	int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC);

	while (fd >= 0) {
		if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) == 0 &&
		    (who.pid == pid || who.pid == getpid()))
			return fd;
		close(fd);
		fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
	}
	return -errno;
}

static void unixsock_give(struct ckpt_restore *r,
			  const struct ckpt_object *object, int fd)
{
	if (object)
		ckpt_adopt(r, object->id, fd);
	else
		close(fd);
}

/* An end that was accepted here, and the one that had called; where this one
 * has gone, what is in the queue is put there at once. */
static void unixsock_accepted(struct ckpt_restore *r,
			      const struct unixsock_view *listener,
			      int listening, const struct unixsock_view *mine,
			      const struct ckpt_object *caller);

/* All that came from this listener: the accepted, then those that wait. */
static void unixsock_connections(struct ckpt_restore *r,
				 const struct unixsock_view *listener,
				 int listening)
{
	const struct ckpt_object *other = NULL;
	struct unixsock_view view;
	uint32_t i;

	while ((other = ckpt_object_by_inode(r, UNIXSOCK_KIND, 0, other))) {
		const struct ckpt_object *caller;

		if (ckpt_object_fd(r, other->id) >= 0 ||
		    unixsock_view(other, &view) < 0 ||
		    (view.record->flags &
		     (UNIXSOCK_LISTENS | UNIXSOCK_WAITS)) ||
		    !(view.record->flags & UNIXSOCK_CONNECTED) ||
		    view.record->type != listener->record->type ||
		    !unixsock_same_name(&view.record->name,
					&listener->record->name) ||
		    strcmp(view.directory, listener->directory) != 0)
			continue;
		caller = unixsock_by_ino(r, view.record->peer_ino);
		if (caller && ckpt_object_fd(r, caller->id) < 0)
			unixsock_accepted(r, listener, listening, &view,
					  caller);
	}
	for (i = 0; i < listener->record->waiting_count; i++) {
		const struct ckpt_object *caller =
			unixsock_by_ino(r, unixsock_waiting(listener, i));
		int fd = -1;

		if (caller && unixsock_view(caller, &view) == 0 &&
		    ckpt_object_fd(r, caller->id) < 0)
			fd = unixsock_dial(r, listener, listening, &view,
					   caller->pid);
		if (fd >= 0)
			unixsock_give(r, caller, fd);
		else if (!caller)
			ckpt_report(r,
				    "%s: a connection from outside the "
				    "computation, not accepted yet, is closed "
				    "now", listener->object->label);
	}
}

static void unixsock_accepted(struct ckpt_restore *r,
			      const struct unixsock_view *listener,
			      int listening, const struct unixsock_view *mine,
			      const struct ckpt_object *caller)
{
	struct unixsock_view view;
	int pid = mine->record->peer_pid;
	int called, fd;

	if (unixsock_view(caller, &view) < 0)
		return;
	called = unixsock_dial(r, listener, listening, &view, pid);
	if (called < 0)
		return;
	fd = unixsock_accept(listening, pid);
	if (fd < 0) {
		close(called);
		return;
	}
	unixsock_give(r, caller, called);
	unixsock_give(r, mine->object, fd);
}

static int unixsock_listener(struct ckpt_restore *r,
			     const struct unixsock_view *view)
{
	struct unixsock_listen listening = {
		.fd = unixsock_new(r, view),
		.backlog = (int)view->record->backlog,
	};
	int ret;

	if (listening.fd < 0)
		return listening.fd;
	/* Nobody else may call before ours have. */
	fcntl(listening.fd, F_SETFL, O_NONBLOCK);
	ret = ckpt_as(r, view->record->peer_pid, unixsock_listen, &listening,
		      sizeof(listening));
	if (ret < 0)
		ckpt_report(r, "%s: cannot listen again: %s",
			    view->object->label, strerror(-ret));
	else
		unixsock_connections(r, view, listening.fd);
	fcntl(listening.fd, F_SETFL, 0);
	unixsock_unlink(view);
	return listening.fd;
}

/* The listener that this end, or the other, came from: makes it, and with it
 * this one. 0, or -ENOENT: there is none. */
static int unixsock_by_listener(struct ckpt_restore *r,
				const struct unixsock_view *mine)
{
	const struct ckpt_object *other = NULL;
	struct unixsock_view view;
	int fd;

	if (!mine->record->name.length && !mine->record->peer_name.length)
		return -ENOENT;
	while ((other = ckpt_object_by_inode(r, UNIXSOCK_KIND, 0, other))) {
		if (ckpt_object_fd(r, other->id) >= 0 ||
		    unixsock_view(other, &view) < 0 ||
		    !(view.record->flags & UNIXSOCK_LISTENS) ||
		    (!unixsock_same_name(&view.record->name,
					 &mine->record->name) &&
		     !unixsock_same_name(&view.record->name,
					 &mine->record->peer_name)))
			continue;
		fd = unixsock_listener(r, &view);
		if (fd < 0)
			return fd;
		ckpt_adopt(r, other->id, fd);
		if (ckpt_object_fd(r, mine->object->id) >= 0)
			return 0;
	}
	return -ENOENT;
}

static int unixsock_both(struct ckpt_restore *r,
			 const struct unixsock_view *mine,
			 const struct ckpt_object *peer)
{
	struct unixsock_pair pair = {.type = (int)mine->record->type};
	struct unixsock_view view;
	int ret = unixsock_view(peer, &view);

	if (ret == 0)
		ret = ckpt_as(r, mine->record->peer_pid, unixsock_pair, &pair,
			      sizeof(pair));
	if (ret < 0)
		return ret;
	/* Its listener has gone; a name serves as well that comes later. */
	unixsock_bind(r, mine, pair.ends[0]);
	unixsock_unlink(mine);
	unixsock_bind(r, &view, pair.ends[1]);
	unixsock_unlink(&view);
	ret = ckpt_adopt(r, peer->id, pair.ends[1]);
	if (ret == 0)
		return pair.ends[0];
	close(pair.ends[0]);
	return ret;
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

struct unixsock_message {
	struct unixsock_chunk head; /* of its first chunk */
	struct unixsock_name sender;
	uint32_t objects[253]; /* SCM_MAX_FD */
	const char *data;
	size_t length;
};

static int unixsock_take(struct unixsock_view *view, void *to, size_t length)
{
	if (length > view->length)
		return -EBADMSG;
	memcpy(to, view->chunks, length);
	view->chunks += length;
	view->length -= length;
	return 0;
}

/* The next message: the bytes of its chunks, moved together. */
static int unixsock_next(struct unixsock_view *view,
			 struct unixsock_message *message)
{
	static char data[4 << 20];
	struct unixsock_chunk chunk = {.more = 1};
	int first = 1;

	message->length = 0;
	message->data = data;
	for (; chunk.more; first = 0) {
		if (unixsock_take(view, &chunk, sizeof(chunk)) < 0 ||
		    chunk.name_length > UNIXSOCK_NAME ||
		    chunk.objects > 253 ||
		    chunk.length > sizeof(data) - message->length ||
		    unixsock_take(view, message->objects,
				  chunk.objects * sizeof(uint32_t)) < 0 ||
		    unixsock_take(view, message->sender.address,
				  chunk.name_length) < 0 ||
		    unixsock_take(view, data + message->length,
				  chunk.length) < 0)
			return -EBADMSG;
		message->length += chunk.length;
		message->sender.length = chunk.name_length;
		if (first)
			message->head = chunk;
	}
	return 0;
}

/* A socket here that bears this name; -1: none. */
static int unixsock_named(struct ckpt_restore *r,
			  const struct unixsock_name *name)
{
	const struct ckpt_object *other = NULL;
	struct unixsock_view view;

	if (!name->length)
		return -1;
	while ((other = ckpt_object_by_inode(r, UNIXSOCK_KIND, 0, other)))
		if (unixsock_view(other, &view) == 0 &&
		    view.record->type == SOCK_DGRAM &&
		    unixsock_same_name(&view.record->name, name))
			return ckpt_object_fd(r, other->id);
	return -1;
}

struct unixsock_send {
	int fd;
	struct msghdr *message; /* a copy of our memory has it, too */
};

static int unixsock_send(void *argument)
{
	const struct unixsock_send *send = argument;
	ssize_t sent = sendmsg(send->fd, send->message,
			       MSG_DONTWAIT | MSG_NOSIGNAL);

	return sent < 0 ? -errno : (int)sent;
}

union unixsock_control {
	struct cmsghdr head;
	char space[CMSG_SPACE(253 * sizeof(int)) +
		   CMSG_SPACE(sizeof(struct ucred))];
};

static size_t unixsock_rights(struct ckpt_restore *r,
			      const struct ckpt_object *object,
			      const struct unixsock_message *message, char *at)
{
	struct cmsghdr *head = (struct cmsghdr *)at;
	int *fds = (int *)CMSG_DATA(head), count = 0;
	uint32_t i;

	for (i = 0; i < message->head.objects; i++) {
		const struct ckpt_object *inside =
			ckpt_object_named(r, object, message->objects[i]);
		int fd = inside ? ckpt_object_fd(r, inside->id) : -1;

		if (fd >= 0)
			fds[count++] = fd;
		else
			ckpt_report(r,
				    "%s: a descriptor on its way through it "
				    "is lost", object->label);
	}
	if (!count)
		return 0;
	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN((size_t)count * sizeof(int));
	return CMSG_SPACE((size_t)count * sizeof(int));
}

static size_t unixsock_credentials(const struct unixsock_message *message,
				   char *at)
{
	struct cmsghdr *head = (struct cmsghdr *)at;
	struct ucred who = {message->head.pid, message->head.uid,
			    message->head.gid};

	if (!message->head.pid)
		return 0;
	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_CREDENTIALS;
	head->cmsg_len = CMSG_LEN(sizeof(who));
	memcpy(CMSG_DATA(head), &who, sizeof(who));
	return CMSG_SPACE(sizeof(who));
}

static int unixsock_put(struct ckpt_restore *r,
			const struct ckpt_object *object,
			const struct unixsock_message *message, int writer,
			const struct unixsock_name *to)
{
	static union unixsock_control control;
	struct iovec data = {(void *)(uintptr_t)message->data,
			     message->length};
	struct msghdr head = {
		.msg_name = to ? (void *)(uintptr_t)to->address : NULL,
		.msg_namelen = to ? to->length : 0,
		.msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = control.space,
	};
	struct unixsock_send send = {writer, &head};
	int sender = unixsock_named(r, &message->sender), ret;

	if (sender >= 0)
		send.fd = sender;
	memset(&control, 0, sizeof(control));
	head.msg_controllen =
		unixsock_rights(r, object, message, control.space);
	head.msg_controllen += unixsock_credentials(
		message, control.space + head.msg_controllen);
	if (!head.msg_controllen)
		head.msg_control = NULL;
	ret = ckpt_as(r, message->head.pid, unixsock_send, &send, sizeof(send));
	if (ret < 0 && send.fd != writer) {
		/* Only the peer may send, or has the room for it. */
		send.fd = writer;
		ret = ckpt_as(r, message->head.pid, unixsock_send, &send,
			      sizeof(send));
	}
	if (ret == -EPERM || ret == -ESRCH) {
		/* Nobody may say any more that he was it. */
		head.msg_controllen =
			unixsock_rights(r, object, message, control.space);
		if (!head.msg_controllen)
			head.msg_control = NULL;
		ret = unixsock_send(&send);
	}
	if (ret < 0)
		return ret;
	return ret == (int)message->length ? 0 : -EIO;
}

/* One record of those of all processes has the queue. */
static int unixsock_queue(struct ckpt_restore *r,
			  const struct ckpt_object *object, int writer,
			  const struct unixsock_name *to)
{
	static struct unixsock_message message;
	const struct ckpt_object *record = NULL;
	struct unixsock_view view = {.length = 0};
	int value, ret = 0;
	size_t nth;

	for (nth = 0; !view.length; nth++) {
		record = ckpt_object_record(r, object, nth);
		if (!record)
			return 0;
		if (unixsock_view(record, &view) < 0)
			return -EBADMSG;
	}
	value = unixsock_room(writer);
	while (ret == 0 && view.length) {
		ret = unixsock_next(&view, &message);
		if (ret == 0)
			ret = unixsock_put(r, record, &message, writer, to);
	}
	setsockopt(writer, SOL_SOCKET, SO_SNDBUF, &value, sizeof(value));
	return ret;
}

/* The other end is nobody's: it fills the queue and goes. */
static int unixsock_alone(struct ckpt_restore *r,
			  const struct unixsock_view *mine)
{
	struct unixsock_pair pair = {.type = (int)mine->record->type};
	int ret = ckpt_as(r, mine->record->peer_pid, unixsock_pair, &pair,
			  sizeof(pair));

	if (ret < 0)
		return ret;
	/* What was accepted shares the name of its listener. */
	if (mine->record->name.length &&
	    bind(pair.ends[0], unixsock_address(&mine->record->name),
		 mine->record->name.length) == 0)
		unixsock_unlink(mine);
	ret = unixsock_queue(r, mine->object, pair.ends[1], NULL);
	/* Who goes with something unread says so by ECONNRESET. */
	if (mine->record->flags & UNIXSOCK_RESET)
		send(pair.ends[0], "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
	close(pair.ends[1]);
	if (mine->record->peer_ino)
		ckpt_report(r,
			    "%s: its other end was outside the computation; "
			    "it is closed now", mine->object->label);
	if (ret == 0)
		return pair.ends[0];
	close(pair.ends[0]);
	return ret;
}

static int unixsock_datagrams(struct ckpt_restore *r,
			      const struct unixsock_view *mine,
			      const struct ckpt_object *peer)
{
	struct unixsock_view view;

	/* Both know each other: as a pair, they need no names for that, and
	 * their queues have no limit of messages. */
	if (peer && unixsock_view(peer, &view) == 0 &&
	    view.record->type == SOCK_DGRAM &&
	    unixsock_by_ino(r, view.record->peer_ino) &&
	    unixsock_by_ino(r, view.record->peer_ino)->id == mine->object->id &&
	    ckpt_object_fd(r, peer->id) < 0)
		return unixsock_both(r, mine, peer);
	/* Only a pair can have led to one without a name. */
	if (!peer && (mine->record->flags & UNIXSOCK_CONNECTED) &&
	    !mine->record->name.length && !mine->record->peer_name.length)
		return unixsock_alone(r, mine);
	return unixsock_new(r, mine);
}

static int unixsock_open(struct ckpt_restore *r,
			 const struct ckpt_object *object)
{
	const struct ckpt_object *peer;
	struct unixsock_view view;
	int ret = unixsock_view(object, &view);
	uint32_t flags;

	if (ret < 0)
		return ret;
	flags = view.record->flags;
	peer = unixsock_by_ino(r, view.record->peer_ino);
	if (view.record->peer_ino && !peer && view.record->standard >= 0)
		return ckpt_standard_stream(r, view.record->standard);
	if (flags & UNIXSOCK_LISTENS)
		return unixsock_listener(r, &view);
	if (view.record->type == SOCK_DGRAM)
		return unixsock_datagrams(r, &view, peer);
	if (!(flags & UNIXSOCK_CONNECTED))
		return unixsock_new(r, &view);
	if (unixsock_by_listener(r, &view) == 0)
		return -EALREADY;
	if (peer && ckpt_object_fd(r, peer->id) < 0)
		return unixsock_both(r, &view, peer);
	return unixsock_alone(r, &view);
}

/* ---- connecting ---- */

static void unixsock_reach(struct ckpt_restore *r,
			   const struct unixsock_view *view, int fd)
{
	const struct unixsock_name *name = &view->record->peer_name;
	struct unixsock_call call = {.fd = fd, .length = name->length};
	int here, ret;

	memcpy(&call.address, name->address,
	       name->length < sizeof(call.address) ? name->length :
						      sizeof(call.address));
	here = unixsock_go(view);
	ret = unixsock_call(&call);
	unixsock_go_back(here);
	if (ret < 0)
		ckpt_report(r, "%s: cannot connect to %.*s again: %s",
			    view->object->label, (int)name->length - 2,
			    unixsock_path(name) + !unixsock_is_path(name),
			    strerror(-ret));
}

/* To whatever name it has now: at the old one may be somebody else. */
static int unixsock_by_stranger(struct ckpt_restore *r,
				const struct unixsock_view *view, int fd)
{
	int writer = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), here, ret;
	const struct sockaddr none = {.sa_family = AF_UNIX};
	struct unixsock_name name = {.length = sizeof(name.address)};

	if (writer < 0)
		return -errno;
	if (!unixsock_own_name(fd, &name))
		bind(fd, &none, sizeof(none.sa_family));
	here = unixsock_go(view);
	ret = unixsock_own_name(fd, &name) ?
		      unixsock_queue(r, view->object, writer, &name) :
		      -ENOTCONN;
	unixsock_go_back(here);
	close(writer);
	return ret;
}

/* Its peer is closed: it is told so when it sends. */
static void unixsock_reach_nobody(int fd)
{
	const struct sockaddr none = {.sa_family = AF_UNIX};
	int peer = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct unixsock_name name;

	if (peer < 0)
		return;
	if (bind(peer, &none, sizeof(none.sa_family)) == 0 &&
	    unixsock_own_name(peer, &name))
		connect(fd, unixsock_address(&name), name.length);
	close(peer);
}

/* Of a pair: both ends know each other. */
static int unixsock_is_paired(int fd)
{
	struct sockaddr_un address;
	socklen_t length = sizeof(address);

	return getpeername(fd, (struct sockaddr *)&address, &length) == 0;
}

static int unixsock_queues(struct ckpt_restore *r,
			   const struct unixsock_view *view, int fd)
{
	const struct unixsock_record *record = view->record;
	const struct ckpt_object *peer = unixsock_by_ino(r, record->peer_ino);
	int other = peer ? ckpt_object_fd(r, peer->id) : -1, ret = 0;

	if (record->type == SOCK_DGRAM && !unixsock_is_paired(fd)) {
		/* First the queue: afterwards only the peer may send. */
		if (record->name.length)
			ret = unixsock_by_stranger(r, view, fd);
		unixsock_unlink(view);
		if (record->flags & UNIXSOCK_PEER_GONE)
			unixsock_reach_nobody(fd);
		else if ((record->flags & UNIXSOCK_CONNECTED) &&
		    record->peer_name.length)
			unixsock_reach(r, view, fd);
		return ret;
	}
	if (other < 0)
		return 0;
	ret = unixsock_queue(r, view->object, other, NULL);
	/* The second of the two closes halves, when both are full. */
	if (peer->id < view->object->id) {
		if (record->shutdown & 1)
			shutdown(fd, SHUT_RD);
		if (record->shutdown & 2)
			shutdown(fd, SHUT_WR);
	}
	return ret;
}

static int unixsock_connect(struct ckpt_restore *r,
			    const struct ckpt_object *object, int fd)
{
	const struct unixsock_record *truth;
	struct unixsock_view view;
	int ret = unixsock_view(object, &view);

	if (ret < 0)
		return ret;
	if (view.record->standard >= 0 && view.record->peer_ino &&
	    !unixsock_by_ino(r, view.record->peer_ino))
		return 0;
	/* Before the queue: SO_PASSCRED says what a message brings along. */
	truth = unixsock_truth(r, &view);
	sockopt_restore(fd, &truth->options);
	ret = unixsock_queues(r, &view, fd);
	if (ret < 0)
		ckpt_report(r, "%s: its queue cannot be filled again: %s",
			    object->label, strerror(-ret));
	if (truth->peek_offset >= 0)
		setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &truth->peek_offset,
			   sizeof(int));
	return ret;
}

/* ---- who belongs together ---- */

/* Apart from inodes, which are short. */
static void unixsock_bond_name(struct ckpt_bonds *bonds,
			       const struct unixsock_name *name)
{
	uint64_t hash = 0xcbf29ce484222325ull;
	uint32_t i;

	for (i = 0; i < name->length; i++)
		hash = (hash ^ name->address[i]) * 0x100000001b3ull;
	if (name->length)
		ckpt_bond(bonds, hash | 1ull << 63);
}

static void unixsock_bonds(const struct ckpt_object *object,
			   struct ckpt_bonds *bonds)
{
	static struct unixsock_message message;
	struct unixsock_view view;
	uint32_t i;

	if (unixsock_view(object, &view) < 0)
		return;
	ckpt_bond_same(bonds, object->ino, 1);
	ckpt_bond(bonds, object->ino);
	if (view.record->peer_ino)
		ckpt_bond(bonds, view.record->peer_ino);
	for (i = 0; i < view.record->waiting_count; i++)
		ckpt_bond(bonds, unixsock_waiting(&view, i));
	unixsock_bond_name(bonds, &view.record->name);
	if (view.record->flags & UNIXSOCK_CONNECTED)
		unixsock_bond_name(bonds, &view.record->peer_name);
	/* Only before the processes can somebody be another one. */
	if (view.record->peer_pid > 0 && view.record->peer_pid != object->pid)
		ckpt_bond_commons(bonds);
	while (view.length && unixsock_next(&view, &message) == 0) {
		unixsock_bond_name(bonds, &message.sender);
		if (message.head.pid && message.head.pid != object->pid)
			ckpt_bond_commons(bonds);
		for (i = 0; i < message.head.objects; i++)
			ckpt_bond_object(bonds, message.objects[i]);
	}
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
		 view.record->flags & UNIXSOCK_PEER_GONE ?
			 ", other end closed" : "", view.length);
}

const struct ckpt_restorer unixsock_restorer = {
	.kind = UNIXSOCK_KIND,
	.name = "unixsock",
	.bonds = unixsock_bonds,
	.open = unixsock_open,
	.connect = unixsock_connect,
	.show = unixsock_show,
	.no_position = 1,
};
