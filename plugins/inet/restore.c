/* SPDX-License-Identifier: MIT */
/*
 * inet, restoring. Sockets that share a port, or that are the two ends of a
 * connection, are made at one place: stream.c makes connections, datagram.c
 * fills queues. An address that somebody else has by now is replaced by one
 * with another port, so that a server goes on waiting instead of failing in a
 * loop.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "plugins/inet/restore.h"

int inet_view(const struct ckpt_object *object, struct inet_view *view)
{
	const struct inet_record *record = object->body;
	size_t left = object->length;

	if (left < sizeof(*record))
		return -EBADMSG;
	left -= sizeof(*record);
	if (record->membership_length > left ||
	    record->filter_length > left - record->membership_length ||
	    record->name.length > INET_NAME ||
	    record->peer_name.length > INET_NAME)
		return -EBADMSG;
	view->object = object;
	view->record = record;
	view->memberships = (const unsigned char *)(record + 1);
	view->filter = view->memberships + record->membership_length;
	view->queue = view->filter + record->filter_length;
	view->queue_length =
		left - record->membership_length - record->filter_length;
	if (record->type == SOCK_STREAM && record->unread > view->queue_length)
		return -EBADMSG;
	return 0;
}

int inet_queue_of(struct ckpt_restore *r, const struct ckpt_object *object,
		  struct inet_view *view)
{
	const struct ckpt_object *record;
	size_t nth;

	for (nth = 0; (record = ckpt_object_record(r, object, nth)); nth++)
		if (inet_view(record, view) == 0 &&
		    (view->record->flags & INET_QUEUE))
			return 1;
	return 0;
}

const struct ckpt_object *inet_by_ino(struct ckpt_restore *r, uint64_t ino)
{
	return ino ? ckpt_object_by_inode(r, INET_KIND, ino, NULL) : NULL;
}

static void bind_again(struct ckpt_restore *r, const struct inet_view *view,
		       int fd)
{
	const struct inet_record *record = view->record;
	struct inet_name name = record->name;
	char text[INET_TEXT], now[INET_TEXT];
	int error;

	if (!inet_port_of(&name) && inet_is_any(&name))
		return;
	if (record->type == SOCK_RAW)
		inet_set_port(&name, 0);
	if (bind(fd, inet_address(&name), name.length) == 0)
		return;
	error = errno;
	if (error == EADDRNOTAVAIL)
		name = inet_any(record->domain, inet_port_of(&name));
	else
		inet_set_port(&name, 0);
	if (bind(fd, inet_address(&name), name.length) < 0) {
		ckpt_report(r, "%s: cannot have the address %s again: %s",
			    view->object->label,
			    inet_text(&record->name, text, sizeof(text)),
			    strerror(error));
		return;
	}
	name = inet_own(fd);
	ckpt_report(r, "%s: cannot have the address %s again: %s; it has %s "
		       "now", view->object->label,
		    inet_text(&record->name, text, sizeof(text)),
		    strerror(error), inet_text(&name, now, sizeof(now)));
}

int inet_single(struct ckpt_restore *r, const struct inet_view *view)
{
	const struct inet_record *record = view->record;
	int fd = socket(record->domain, record->type | SOCK_CLOEXEC,
			record->protocol);

	if (fd < 0)
		return -errno;
	inet_early(fd, record);
	bind_again(r, view, fd);
	return fd;
}

static int inet_open(struct ckpt_restore *r, const struct ckpt_object *object)
{
	struct inet_view view;
	int ret = inet_view(object, &view);

	if (ret < 0)
		return ret;
	if (view.record->type == SOCK_STREAM)
		return inet_open_stream(r, &view);
	return inet_single(r, &view);
}

static int inet_connect(struct ckpt_restore *r,
			const struct ckpt_object *object, int fd)
{
	struct inet_name peer;
	struct inet_view view;
	int ret = inet_view(object, &view);

	inet_spare_close();
	if (ret < 0)
		return ret;
	if (view.record->type == SOCK_STREAM)
		return inet_connect_stream(r, &view, fd);
	/* First what waits: then only the peer may send. */
	ret = inet_fill_datagrams(r, &view, fd);
	peer = inet_moved_peer(&view);
	if ((view.record->flags & INET_CONNECTED) &&
	    connect(fd, inet_address(&peer), peer.length) < 0)
		ckpt_report(r, "%s: cannot be connected again: %m",
			    object->label);
	inet_late(r, &view, fd);
	return ret;
}

/* ---- who belongs together ---- */

/* Apart from inodes, which are short. */
static void bond_port(struct ckpt_bonds *bonds,
		      const struct inet_record *record,
		      const struct inet_name *name)
{
	if (inet_port_of(name))
		ckpt_bond(bonds, 1ull << 63 | (uint64_t)record->type << 16 |
					 inet_port_of(name));
}

static void inet_bonds(const struct ckpt_object *object,
		       struct ckpt_bonds *bonds)
{
	struct inet_letter letter;
	struct inet_view view;

	if (inet_view(object, &view) < 0)
		return;
	ckpt_bond_same(bonds, object->ino, 1);
	ckpt_bond(bonds, object->ino);
	if (view.record->peer_ino)
		ckpt_bond(bonds, view.record->peer_ino);
	/* With another group, once for all; so must be its listener. */
	if ((view.record->flags & (INET_PAIRED | INET_HOSTS)) ||
	    view.record->waiting)
		ckpt_bond_commons(bonds);
	bond_port(bonds, view.record, &view.record->name);
	if ((view.record->flags & (INET_WAITS | INET_CONNECTING)) &&
	    !(view.record->flags & INET_PAIRED))
		bond_port(bonds, view.record, &view.record->peer_name);
	if (view.record->type == SOCK_STREAM)
		return;
	while (inet_next_letter(&view, &letter))
		bond_port(bonds, view.record, &letter.sender);
}

static void inet_show(const struct ckpt_object *object, char *line, size_t size)
{
	char name[INET_TEXT], peer[INET_TEXT];
	struct inet_view view;
	uint32_t flags;

	if (inet_view(object, &view) < 0)
		return;
	flags = view.record->flags;
	snprintf(line, size, "%s %s%s%s%s%s, %zu bytes wait",
		 view.record->type == SOCK_STREAM ? "TCP" :
		 view.record->type == SOCK_DGRAM  ? "UDP" : "raw",
		 inet_text(&view.record->name, name, sizeof(name)),
		 view.record->peer_name.length ? " to " : "",
		 view.record->peer_name.length ?
			 inet_text(&view.record->peer_name, peer,
				   sizeof(peer)) : "",
		 flags & INET_PAIRED	 ? " (another host group)" : "",
		 flags & INET_LISTENS	 ? ", listens" :
		 flags & INET_WAITS	 ? ", not accepted yet" :
		 flags & INET_CONNECTING ? ", not answered yet" :
		 flags & INET_OVER	 ? ", closed both ways" :
		 flags & INET_SENT_END	 ? ", sends no more" :
		 flags & INET_GOT_END	 ? ", gets no more" : "",
		 view.queue_length);
}

const struct ckpt_restorer inet_restorer = {
	.kind = INET_KIND,
	.name = "inet",
	.bonds = inet_bonds,
	.meet = inet_meet_all,
	.open = inet_open,
	.connect = inet_connect,
	.show = inet_show,
	.no_position = 1,
};
