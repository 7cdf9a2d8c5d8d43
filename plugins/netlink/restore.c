/* SPDX-License-Identifier: MIT */
/*
 * netlink, restoring. Nobody but the kernel can put a message into such a
 * socket: for what had not been read it is asked again. An end of a list and an
 * acknowledgement it gives as they were, a list of addresses or interfaces as it
 * is now; for anything else it is brought to tell of an overrun, as it
 * does by itself where messages are lost: the program asks again, or fails, but
 * does not wait for ever.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <ckpt/plugin.h>

#include "plugins/netlink/format.h"
#include "plugins/sockopt_restore.h"

#ifndef SOL_NETLINK
#define SOL_NETLINK 270
#endif

static void netlink_set(int fd, uint32_t set)
{
	int option, on = 1;

	for (option = 0; option < NETLINK_OPTIONS; option++)
		if (set >> option & 1)
			setsockopt(fd, SOL_NETLINK, option, &on, sizeof(on));
}

static void netlink_join(struct ckpt_restore *r,
			 const struct ckpt_object *object, int fd,
			 const struct netlink_record *record)
{
	int group;

	for (group = 1; group <= NETLINK_GROUPS * 32; group++)
		if ((record->groups[(group - 1) / 32] >> (group - 1) % 32 & 1) &&
		    setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group,
			       sizeof(group)) < 0)
			ckpt_report(r, "%s: cannot join group %d again: %m",
				    object->label, group);
}

/* ---- what had not been read ---- */

#define FLOOD 16	/* small answers are more than the smallest buffer holds */
#define NO_FAMILY 12	/* DECnet: of which there is nothing any more */

struct request {
	struct nlmsghdr head;
	union {
		struct ifaddrmsg address;
		struct ifinfomsg link;
		struct ndmsg neighbour;
		struct inet_diag_req_v2 socket;
	};
};

static void ask(int fd, struct request *request, uint16_t type, uint16_t flags,
		uint32_t sequence, size_t length)
{
	request->head = (struct nlmsghdr){
		.nlmsg_len = (uint32_t)NLMSG_LENGTH(length),
		.nlmsg_type = type,
		.nlmsg_flags = NLM_F_REQUEST | flags,
		.nlmsg_seq = sequence,
	};
	send(fd, request, request->head.nlmsg_len, MSG_DONTWAIT);
}

static int has_dumps(const struct netlink_record *record)
{
	return record->protocol == NETLINK_ROUTE ||
	       record->protocol == NETLINK_SOCK_DIAG;
}

/* The end of a list, and nothing before it. */
static void ask_for_end(int fd, const struct netlink_record *record)
{
	struct request request = {0};

	if (record->protocol == NETLINK_ROUTE) {
		request.neighbour.ndm_family = NO_FAMILY;
		ask(fd, &request, RTM_GETNEIGH, NLM_F_DUMP,
		    record->first.sequence, sizeof(request.neighbour));
	} else { /* in no state */
		request.socket.sdiag_family = AF_INET;
		request.socket.sdiag_protocol = IPPROTO_TCP;
		ask(fd, &request, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP,
		    record->first.sequence, sizeof(request.socket));
	}
}

static void ask_for_ack(int fd, uint32_t sequence)
{
	struct request request = {0};

	ask(fd, &request, NLMSG_NOOP, NLM_F_ACK, sequence, 0);
}

/* Of little pieces: the kernel makes later answers as large as anybody has ever
 * asked for. */
static void take_all(int fd)
{
	char piece[2048];

	while (recv(fd, piece, sizeof(piece), MSG_DONTWAIT) >= 0 ||
	       errno == ENOBUFS)
		;
}

/* The lists of addresses and of interfaces, which libc asks for. What was asked
 * exactly is not known: for all of them. If that begins with what waited, it is
 * the whole answer, as it is now. */
static int ask_again(int fd, const struct netlink_record *record)
{
	const struct netlink_message *first = &record->first;
	struct request request = {0};
	struct netlink_message now;

	if (record->protocol != NETLINK_ROUTE ||
	    !(first->flags & NLM_F_MULTI))
		return 0;
	if (first->type == RTM_NEWADDR)
		ask(fd, &request, RTM_GETADDR, NLM_F_DUMP, first->sequence,
		    sizeof(request.address));
	else if (first->type == RTM_NEWLINK)
		ask(fd, &request, RTM_GETLINK, NLM_F_DUMP, first->sequence,
		    sizeof(request.link));
	else
		return 0;
	if (recv(fd, &now, sizeof(now), MSG_PEEK | MSG_DONTWAIT) ==
		    sizeof(now) &&
	    now.type == first->type && now.port == first->port &&
	    memcmp(now.body, first->body, sizeof(now.body)) == 0)
		return 1;
	take_all(fd);
	return 0;
}

/* Who reads gets ENOBUFS, and after that, where it may be waiting for one, the
 * end of a list. */
static int overrun(int fd, const struct netlink_record *record)
{
	struct pollfd asked = {fd, POLLIN, 0};
	int size = 0, none = 0, i;
	socklen_t length = sizeof(size);

	getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, &length);
	size /= 2; /* it is told doubled */
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &none, sizeof(none));
	for (i = 0; i < FLOOD; i++)
		if (has_dumps(record))
			ask_for_end(fd, record);
		else
			ask_for_ack(fd, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	setsockopt(fd, SOL_SOCKET, SO_BUF_LOCK, &none, sizeof(none));
	return poll(&asked, 1, 0) > 0 && (asked.revents & POLLERR);
}

/* A request is answered before send() returns: so who has asked will be
 * waiting for what was here. */
static void netlink_refill(struct ckpt_restore *r,
			   const struct ckpt_object *object, int fd,
			   const struct netlink_record *record)
{
	const struct netlink_message *first = &record->first;
	struct sockaddr_nl name = {0};
	socklen_t length = sizeof(name);
	int is_answer = record->unread == NETLINK_WAITS &&
			first->port == record->port &&
			getsockname(fd, (void *)&name, &length) == 0 &&
			name.nl_pid == record->port;

	if (is_answer && first->type == NLMSG_DONE && has_dumps(record))
		ask_for_end(fd, record);
	else if (is_answer && first->type == NLMSG_ERROR && !first->body[0])
		ask_for_ack(fd, first->sequence);
	else if (is_answer && ask_again(fd, record))
		return;
	else if (overrun(fd, record))
		ckpt_report(r, "%s: messages that it had not read yet are gone; "
			       "it is told of an overrun", object->label);
	else
		ckpt_report(r, "%s: messages that it had not read yet are gone",
			    object->label);
}

static int netlink_open(struct ckpt_restore *r, const struct ckpt_object *object)
{
	const struct netlink_record *record = object->body;
	struct sockaddr_nl name = {.nl_family = AF_NETLINK};
	int fd;

	if (object->length < sizeof(*record))
		return -EBADMSG;
	fd = socket(AF_NETLINK, record->type | SOCK_CLOEXEC, record->protocol);
	if (fd < 0)
		return -errno;
	name.nl_pid = record->port;
	if (record->bound &&
	    bind(fd, (struct sockaddr *)&name, sizeof(name)) < 0) {
		name.nl_pid = 0; /* another has it: any will do */
		if (bind(fd, (struct sockaddr *)&name, sizeof(name)) < 0)
			ckpt_report(r, "%s: cannot be bound again: %m",
				    object->label);
	}
	netlink_set(fd, record->set);
	netlink_join(r, object, fd, record);
	if (record->unread)
		netlink_refill(r, object, fd, record);
	sockopt_restore(fd, &record->options);
	return fd;
}

static void netlink_show(const struct ckpt_object *object, char *line,
			 size_t size)
{
	const struct netlink_record *record = object->body;

	if (object->length >= sizeof(*record))
		snprintf(line, size, "netlink, protocol %d, port %u",
			 record->protocol, record->port);
}

const struct ckpt_restorer netlink_restorer = {
	.kind = 77,
	.name = "netlink",
	.open = netlink_open,
	.show = netlink_show,
	.no_position = 1,
};
