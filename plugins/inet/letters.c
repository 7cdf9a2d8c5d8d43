/* SPDX-License-Identifier: MIT */
/*
 * inet, restoring: datagrams that wait to be read and came from another host
 * group. Only who has the sender's socket can send them again; so each group
 * that finds itself asked for opens a post office, in the second round of the
 * meeting, and gets there what it is to send. This happens before any process
 * is there and any datagram socket is connected.
 *
 * They may be lost on the way once more, as datagrams may. Between those of
 * different senders there is no order.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "plugins/inet/restore.h"
#include "plugins/sockopt_restore.h"

#define SENDERS_MAX 1024
#define PATIENCE_MS 10000
#define PROOF "letters"

/* Of other groups, whose datagrams we have. */
struct sender {
	struct inet_name name;
	uint32_t protocol;
	size_t end;
	int is_known;
};

static struct {
	struct sender *senders; /* to the end */
	size_t count, room;
	size_t *offers; /* ends: names by which sockets of ours were known */
	size_t offer_count, offer_room;
	int post;
	size_t expected;
} letters = {.post = -1};

struct head {
	struct inet_name sender, to;
	uint32_t protocol, length;
};

/* ---- who has what ---- */

static void *grow(void *list, size_t count, size_t *room, size_t size)
{
	void *more = list;

	if (count < *room)
		return list;
	more = reallocarray(list, 2 * *room + 16, size);
	if (more)
		*room = 2 * *room + 16;
	return more;
}

void inet_letters_known(const char *key)
{
	size_t *offers = grow(letters.offers, letters.offer_count,
			      &letters.offer_room, sizeof(*offers));
	struct ckpt_meeting *end;
	long at = offers ? inet_end_add() : -1;

	if (offers)
		letters.offers = offers;
	if (at < 0)
		return;
	end = inet_end((size_t)at);
	snprintf(end->mine, sizeof(end->mine), "post %s", key);
	letters.offers[letters.offer_count++] = (size_t)at;
}

static const struct ckpt_object *socket_of(struct ckpt_restore *r,
					   uint32_t protocol,
					   const struct inet_name *name)
{
	const struct ckpt_object *o = NULL;
	struct inet_view view;

	while ((o = ckpt_object_by_inode(r, INET_KIND, 0, o)))
		if (inet_view(o, &view) == 0 &&
		    (view.record->flags & INET_HOSTS) &&
		    (uint32_t)view.record->protocol == protocol &&
		    inet_serves(view.record, name))
			return o;
	return NULL;
}

static struct sender *sender_find(uint32_t protocol,
				  const struct inet_name *name)
{
	size_t i;

	for (i = 0; i < letters.count; i++)
		if (letters.senders[i].protocol == protocol &&
		    inet_is_same(&letters.senders[i].name, name))
			return &letters.senders[i];
	return NULL;
}

static void ask_for(struct ckpt_restore *r, const struct inet_record *record,
		    const struct inet_name *name)
{
	uint32_t protocol = (uint32_t)record->protocol;
	struct sender *senders;
	char key[INET_KEY];
	long at;

	if (letters.count == SENDERS_MAX || sender_find(protocol, name) ||
	    socket_of(r, protocol, name))
		return;
	senders = grow(letters.senders, letters.count, &letters.room,
		       sizeof(*senders));
	if (!senders)
		return;
	letters.senders = senders;
	at = inet_end_add();
	if (at < 0)
		return;
	inet_datagram_key(key, record, name);
	snprintf(inet_end((size_t)at)->theirs, sizeof(inet_end(0)->theirs),
		 "post %s", key);
	senders[letters.count++] = (struct sender){
		.name = *name, .protocol = protocol, .end = (size_t)at};
}

/* The next datagram socket of the computation with its queue. */
static const struct ckpt_object *next_queue(struct ckpt_restore *r,
					    const struct ckpt_object *o,
					    struct inet_view *queue)
{
	while ((o = ckpt_object_by_inode(r, INET_KIND, 0, o)))
		if (inet_view(o, queue) == 0 &&
		    (queue->record->flags & INET_HOSTS) &&
		    ckpt_object_fd(r, o->id) >= 0 && inet_queue_of(r, o, queue))
			return o;
	return NULL;
}

void inet_letters_ask(struct ckpt_restore *r)
{
	const struct ckpt_object *o = NULL;
	struct inet_letter letter;
	struct inet_view queue;

	while ((o = next_queue(r, o, &queue))) {
		sockopt_buffers(ckpt_object_fd(r, o->id),
				&queue.record->socket_options);
		while (inet_next_letter(&queue, &letter))
			ask_for(r, queue.record, &letter.sender);
	}
}

/* ---- the post office ---- */

static int open_post(void)
{
	struct inet_name any = inet_any(AF_INET6, 0);
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), off = 0;

	if (fd >= 0)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (fd < 0) { /* there is no IPv6 */
		any = inet_any(AF_INET, 0);
		fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	}
	if (fd >= 0 && bind(fd, inet_address(&any), any.length) == 0 &&
	    listen(fd, SOMAXCONN) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

void inet_letters_open(void)
{
	size_t i;

	for (i = 0; i < letters.offer_count; i++) {
		struct ckpt_meeting *end = inet_end(letters.offers[i]);
		struct inet_name own;

		if (end->wanted <= 0)
			continue;
		if (letters.post < 0)
			letters.post = open_post();
		if (letters.post < 0)
			return;
		own = inet_own(letters.post);
		snprintf(end->says, sizeof(end->says), "%u",
			 ntohs(inet_port_of(&own)));
		letters.expected += (size_t)end->wanted;
	}
}

/* The whole of it, or -errno. */
static int read_all(int fd, void *data, size_t length, int64_t deadline)
{
	struct pollfd ready = {fd, POLLIN, 0};
	size_t done = 0;

	while (done < length) {
		int64_t left = deadline - inet_now_ms();
		ssize_t n;

		if (left <= 0 || poll(&ready, 1, (int)left) <= 0)
			return -ETIMEDOUT;
		n = recv(fd, (char *)data + done, length - done, MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n <= 0)
			return -EPIPE;
		done += (size_t)n;
	}
	return 0;
}

static void send_again(struct ckpt_restore *r, const struct head *head,
		       const void *data, int from)
{
	const struct ckpt_object *o = socket_of(r, head->protocol,
						&head->sender);
	struct inet_name to = head->to;
	struct inet_view view;
	int fd = o ? ckpt_object_fd(r, o->id) : -1;

	if (fd < 0 || inet_view(o, &view) < 0)
		return;
	if (inet_is_any(&to)) {
		to = inet_peer(from);
		inet_set_port(&to, inet_port_of(&head->to));
	}
	to = inet_in_family(&to, view.record->domain);
	sendto(fd, data, head->length, MSG_DONTWAIT | MSG_NOSIGNAL,
	       inet_address(&to), to.length);
}

static void take_post(struct ckpt_restore *r, int fd, int64_t deadline)
{
	static char data[65536];
	unsigned char proof[32], right[32];
	struct head head;

	ckpt_proof(r, PROOF, right);
	if (read_all(fd, proof, sizeof(proof), deadline) < 0 ||
	    memcmp(proof, right, sizeof(proof)) != 0)
		return;
	while (read_all(fd, &head, sizeof(head), deadline) == 0) {
		if (head.length > sizeof(data) ||
		    head.sender.length > INET_NAME ||
		    head.to.length > INET_NAME ||
		    read_all(fd, data, head.length, deadline) < 0)
			return;
		send_again(r, &head, data, fd);
	}
}

/* ---- those who bring something ---- */

/* Where the socket can be reached; any address: whence we call. */
static struct inet_name place_of(const struct inet_record *record, int fd,
				 const struct inet_name *sender)
{
	struct inet_name own = inet_own(fd), six;
	char text[INET6_ADDRSTRLEN];

	if (inet_is_any(&own) && inet_is_six(sender) &&
	    inet_parse(inet_own_six(&record->name, text),
		       ntohs(inet_port_of(&own)), &six) == 0)
		own = six;
	return own;
}

static int put(int fd, const void *data, size_t length)
{
	const char *at = data;

	while (length) {
		ssize_t n = send(fd, at, length, MSG_NOSIGNAL);

		if (n <= 0)
			return -errno;
		at += n;
		length -= (size_t)n;
	}
	return 0;
}

static void bring(struct ckpt_restore *r, const struct sender *sender, int fd)
{
	const struct ckpt_object *o = NULL;
	struct inet_letter letter;
	struct inet_view queue;
	unsigned char proof[32];
	int ret;

	ckpt_proof(r, PROOF, proof);
	ret = put(fd, proof, sizeof(proof));
	while (ret == 0 && (o = next_queue(r, o, &queue))) {
		struct head head = {
			.sender = sender->name,
			.to = place_of(queue.record, ckpt_object_fd(r, o->id),
				       &sender->name),
			.protocol = sender->protocol,
		};

		if ((uint32_t)queue.record->protocol != sender->protocol)
			continue;
		while (ret == 0 && inet_next_letter(&queue, &letter)) {
			if (!inet_is_same(&letter.sender, &sender->name))
				continue;
			head.length = (uint32_t)letter.length;
			ret = put(fd, &head, sizeof(head));
			if (ret == 0)
				ret = put(fd, letter.data, letter.length);
		}
	}
}

static _Noreturn void bring_all(struct ckpt_restore *r)
{
	size_t i;

	for (i = 0; i < letters.count; i++) {
		const struct ckpt_meeting *end =
			inet_end(letters.senders[i].end);
		struct inet_name to;
		int fd;

		if (!letters.senders[i].is_known ||
		    inet_parse(end->host, (unsigned)atoi(end->hears), &to) < 0)
			continue;
		fd = socket(inet_address(&to)->sa_family,
			    SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd < 0)
			continue;
		if (inet_call(fd, &to) == 0)
			bring(r, &letters.senders[i], fd);
		close(fd);
	}
	_exit(0);
}

void inet_letters_ship(struct ckpt_restore *r)
{
	int64_t deadline = inet_now_ms() + PATIENCE_MS;
	struct pollfd ready = {letters.post, POLLIN, 0};
	size_t i, brings = 0;
	pid_t child = -1;

	for (i = 0; i < letters.count; i++) {
		const struct ckpt_meeting *end =
			inet_end(letters.senders[i].end);

		letters.senders[i].is_known = end->heard &&
					      atoi(end->hears) > 0;
		brings += (size_t)letters.senders[i].is_known;
	}
	/* Two who bring each other much would wait for each other. */
	if (brings)
		child = fork();
	if (child == 0)
		bring_all(r);
	for (i = 0; letters.post >= 0 && i < letters.expected; i++) {
		int64_t left = deadline - inet_now_ms();
		int fd = -1;

		if (left > 0 && poll(&ready, 1, (int)left) == 1)
			fd = accept4(letters.post, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0)
			break;
		take_post(r, fd, deadline);
		close(fd);
	}
	while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
	if (letters.post >= 0)
		close(letters.post);
	letters.post = -1;
	free(letters.offers);
	letters.offers = NULL;
	letters.offer_count = letters.offer_room = letters.expected = 0;
}

int inet_letter_is_shipped(const struct inet_record *record,
			   const struct inet_name *name)
{
	const struct sender *sender = sender_find((uint32_t)record->protocol,
						  name);

	return sender && sender->is_known;
}
