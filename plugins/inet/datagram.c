/* SPDX-License-Identifier: MIT */
/*
 * inet, restoring: datagrams that wait to be read. Each is sent again from the
 * name it came from: by the socket that has it, in whichever host group (see
 * letters.c), or by one that has it for a moment. Where the name is another
 * host's now, it is lost, as datagrams may.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "plugins/inet/restore.h"
#include "plugins/sockopt_restore.h"

int inet_next_letter(struct inet_view *view, struct inet_letter *letter)
{
	struct inet_datagram head;

	if (view->queue_length < sizeof(head))
		return 0;
	memcpy(&head, view->queue, sizeof(head));
	view->queue += sizeof(head);
	view->queue_length -= sizeof(head);
	if (head.name_length > INET_NAME ||
	    head.name_length > view->queue_length ||
	    head.length > view->queue_length - head.name_length)
		return 0;
	memset(&letter->sender, 0, sizeof(letter->sender));
	letter->sender.length = head.name_length;
	memcpy(letter->sender.address, view->queue, head.name_length);
	letter->data = view->queue + head.name_length;
	letter->length = head.length;
	view->queue += head.name_length + head.length;
	view->queue_length -= head.name_length + head.length;
	return 1;
}

/* Who is at hand to send; `temporary` if it is to be closed. */
struct sender {
	struct inet_name name;
	int fd, temporary;
};

static int find_sender(struct ckpt_restore *r, const struct inet_record *like,
		       const struct inet_name *name)
{
	const struct ckpt_object *o = NULL;
	struct inet_view view;

	while ((o = ckpt_object_by_inode(r, INET_KIND, 0, o)))
		if (inet_view(o, &view) == 0 &&
		    view.record->type == like->type &&
		    view.record->protocol == like->protocol &&
		    inet_serves(view.record, name))
			return ckpt_object_fd(r, o->id);
	return -1;
}

static void drop_sender(struct sender *sender)
{
	if (sender->temporary)
		close(sender->fd);
	*sender = (struct sender){.fd = -1};
}

static int take_sender(struct ckpt_restore *r, const struct inet_record *like,
		       const struct inet_name *name, struct sender *sender)
{
	const struct sockaddr *address = inet_address(name);
	const int on = 1;

	if (sender->fd >= 0 && inet_is_same(&sender->name, name))
		return 0;
	drop_sender(sender);
	sender->name = *name;
	sender->fd = find_sender(r, like, name);
	if (sender->fd >= 0)
		return 0;
	sender->fd = socket(address->sa_family, like->type | SOCK_CLOEXEC,
			    like->protocol);
	if (sender->fd < 0)
		return -errno;
	sender->temporary = 1;
	setsockopt(sender->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(sender->fd, address, name->length) == 0)
		return 0;
	return -errno;
}

int inet_fill_datagrams(struct ckpt_restore *r, const struct inet_view *view,
			int fd)
{
	struct sender sender = {.fd = -1};
	struct inet_name own = inet_own(fd);
	struct inet_letter letter;
	struct inet_view queue;
	size_t gone = 0;

	if (!inet_queue_of(r, view->object, &queue))
		return 0;
	sockopt_buffers(fd, &view->record->socket_options);
	while (inet_next_letter(&queue, &letter)) {
		struct inet_name to = own, sender_name;
		uint16_t port = inet_port_of(&own);

		if (inet_letter_is_shipped(view->record, &letter.sender))
			continue;
		if (inet_is_any(&own))
			to = letter.sender;
		inet_set_port(&to, port);
		if (take_sender(r, view->record, &letter.sender, &sender) < 0) {
			drop_sender(&sender);
			gone++;
			continue;
		}
		sender_name = inet_own(sender.fd);
		to = inet_in_family(&to, inet_address(&sender_name)->sa_family);
		if (sendto(sender.fd, letter.data, letter.length,
			   MSG_DONTWAIT | MSG_NOSIGNAL, inet_address(&to),
			   to.length) < 0)
			gone++;
	}
	drop_sender(&sender);
	if (gone)
		ckpt_report(r, "%s: %zu datagrams from elsewhere that it had "
			       "not read yet are gone", view->object->label,
			    gone);
	return 0;
}
