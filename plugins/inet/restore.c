/* SPDX-License-Identifier: MIT */
/*
 * inet, restoring. An address that somebody else has by now is replaced by
 * one with another port, so that a server goes on waiting instead of failing
 * in a loop. A connection comes back as one that its peer has reset: made
 * through the loopback with what was unread in it.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <ckpt/plugin.h>

#include "plugins/inet/format.h"
#include "plugins/sockopt_restore.h"

static const struct sockaddr *inet_address(const struct inet_name *name)
{
	return (const struct sockaddr *)name->address;
}

/* "127.0.0.1:80", "[::1]:80" */
static const char *inet_text(const struct inet_name *name, char *text,
			     size_t size)
{
	const struct sockaddr_in *four = (const void *)name->address;
	const struct sockaddr_in6 *six = (const void *)name->address;
	char host[INET6_ADDRSTRLEN] = "?";

	if (name->length >= sizeof(*six) && six->sin6_family == AF_INET6) {
		inet_ntop(AF_INET6, &six->sin6_addr, host, sizeof(host));
		snprintf(text, size, "[%s]:%u", host, ntohs(six->sin6_port));
	} else if (name->length >= sizeof(*four)) {
		inet_ntop(AF_INET, &four->sin_addr, host, sizeof(host));
		snprintf(text, size, "%s:%u", host, ntohs(four->sin_port));
	} else {
		snprintf(text, size, "nowhere");
	}
	return text;
}

static uint16_t *inet_port(struct inet_name *name)
{
	struct sockaddr_in6 *six = (void *)name->address;

	/* In both families it stands at the same place. */
	return &six->sin6_port;
}

static void inet_options(int fd, const struct inet_record *record)
{
	static const struct { int level, number; } options[] = {
#define INET_OPTION(level, number, name) {level, number},
		INET_OPTION_LIST
#undef INET_OPTION
	};
	int i;

	for (i = 0; i < INET_OPTION_COUNT; i++) {
		int value = 0;
		socklen_t length = sizeof(value);

		if (!(record->known & 1u << i) ||
		    getsockopt(fd, options[i].level, options[i].number, &value,
			       &length) < 0)
			continue;
		if (value != record->options[i])
			setsockopt(fd, options[i].level, options[i].number,
				   &record->options[i], sizeof(int32_t));
	}
}

static void inet_bind(struct ckpt_restore *r, const struct ckpt_object *object,
		      const struct inet_record *record, int fd)
{
	struct inet_name name = record->name;
	char text[80];
	int error;

	if (!name.length || !*inet_port(&name))
		return;
	if (bind(fd, inet_address(&name), name.length) == 0)
		return;
	error = errno;
	*inet_port(&name) = 0;
	if (bind(fd, inet_address(&name), name.length) < 0) {
		ckpt_report(r, "%s: cannot have the address %s again: %s",
			    object->label,
			    inet_text(&record->name, text, sizeof(text)),
			    strerror(error));
		return;
	}
	getsockname(fd, (struct sockaddr *)name.address, &name.length);
	ckpt_report(r, "%s: cannot have the address %s again: %s; it has port "
		       "%u now", object->label,
		    inet_text(&record->name, text, sizeof(text)),
		    strerror(error), ntohs(*inet_port(&name)));
}

static int inet_single(struct ckpt_restore *r, const struct ckpt_object *object,
		       const struct inet_record *record)
{
	int fd = socket(record->domain, record->type | SOCK_CLOEXEC,
			record->protocol);

	if (fd < 0)
		return -errno;
	sockopt_restore(fd, &record->socket_options);
	inet_options(fd, record);
	inet_bind(r, object, record, fd);
	if ((record->flags & INET_LISTENS) &&
	    listen(fd, (int)record->backlog) < 0)
		ckpt_report(r, "%s: cannot listen again: %m", object->label);
	if ((record->flags & INET_CONNECTED) &&
	    connect(fd, inet_address(&record->peer_name),
		    record->peer_name.length) < 0)
		ckpt_report(r, "%s: cannot be connected again: %m",
			    object->label);
	return fd;
}

/* Both ends of a new connection over the loopback. */
static int inet_pair(int domain, int ends[2])
{
	struct sockaddr_in6 address = {.sin6_family = (sa_family_t)domain};
	socklen_t length = sizeof(address);
	int listener = socket(domain, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (domain == AF_INET6)
		address.sin6_addr = in6addr_loopback;
	else
		((struct sockaddr_in *)&address)->sin_addr.s_addr =
			htonl(INADDR_LOOPBACK);
	ends[0] = socket(domain, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ends[1] = -1;
	if (listener >= 0 && ends[0] >= 0 &&
	    bind(listener, (struct sockaddr *)&address, length) == 0 &&
	    listen(listener, 1) == 0 &&
	    getsockname(listener, (struct sockaddr *)&address, &length) == 0 &&
	    connect(ends[0], (struct sockaddr *)&address, length) == 0)
		ends[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (listener >= 0)
		close(listener);
	if (ends[1] >= 0)
		return 0;
	if (ends[0] >= 0)
		close(ends[0]);
	return -1;
}

/* Closing without lingering resets the other end; what it has received by
 * then can still be read. */
static void inet_reset(int fd, int other, const void *unread, size_t length)
{
	struct linger now = {1, 0};
	struct pollfd arrived = {fd, POLLIN, 0};
	const int whole = (int)length;

	if (length) {
		setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &whole, sizeof(whole));
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &whole, sizeof(whole));
		if (send(other, unread, length, MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
			poll(&arrived, 1, 1000);
	}
	setsockopt(other, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(other);
}

static int inet_lost(struct ckpt_restore *r, const struct ckpt_object *object,
		     const struct inet_record *record)
{
	char text[80];
	int ends[2];

	if (inet_pair(record->domain, ends) < 0 &&
	    inet_pair(AF_INET, ends) < 0)
		/* No loopback here: one that never was connected. */
		return inet_single(r, object, record);
	ckpt_report(r, "%s: its connection to %s is lost: the program finds it "
		       "reset by the peer", object->label,
		    inet_text(&record->peer_name, text, sizeof(text)));
	inet_reset(ends[0], ends[1], record + 1, record->unread);
	sockopt_restore(ends[0], &record->socket_options);
	inet_options(ends[0], record);
	return ends[0];
}

static int inet_open(struct ckpt_restore *r, const struct ckpt_object *object)
{
	const struct inet_record *record = object->body;

	if (object->length < sizeof(*record) ||
	    record->unread > object->length - sizeof(*record) ||
	    record->name.length > INET_NAME ||
	    record->peer_name.length > INET_NAME)
		return -EBADMSG;
	if (record->standard >= 0)
		return ckpt_standard_stream(r, record->standard);
	if (record->flags & INET_LOST)
		return inet_lost(r, object, record);
	return inet_single(r, object, record);
}

static void inet_show(const struct ckpt_object *object, char *line, size_t size)
{
	const struct inet_record *record = object->body;
	char name[80], peer[80];

	if (object->length < sizeof(*record))
		return;
	snprintf(line, size, "%s %s%s%s%s",
		 record->type == SOCK_STREAM ? "TCP" :
		 record->type == SOCK_DGRAM  ? "UDP" : "raw",
		 inet_text(&record->name, name, sizeof(name)),
		 record->peer_name.length ? " to " : "",
		 record->peer_name.length ?
			 inet_text(&record->peer_name, peer, sizeof(peer)) : "",
		 record->flags & INET_LISTENS ? ", listens" :
		 record->flags & INET_LOST    ? ", comes back as reset" : "");
}

const struct ckpt_restorer inet_restorer = {
	.kind = 74,
	.name = "inet",
	.open = inet_open,
	.show = inet_show,
	.no_position = 1,
};
