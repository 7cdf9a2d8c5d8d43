/* SPDX-License-Identifier: MIT */
/*
 * Requests by netlink whose answers wait unread. After a checkpoint alone all
 * are there, whole; after a restart each is there whole, or an overrun is told:
 * nobody waits for ever.
 */
#include "story.h"

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <sys/socket.h>

#ifndef SOL_NETLINK
#define SOL_NETLINK 270
#endif

enum {
	ADDRESSES,
	LINKS, /* a part has been read */
	TABLES,
	SOCKETS,
	ACK,
	ERROR,
	LATE, /* an overrun that nobody has asked for yet */
	COUNT,
};

static const struct {
	int protocol;
	uint16_t type;
} kinds[COUNT] = {
	[ADDRESSES] = {NETLINK_ROUTE, RTM_GETADDR},
	[LINKS] = {NETLINK_ROUTE, RTM_GETLINK},
	[TABLES] = {NETLINK_ROUTE, RTM_GETNEIGHTBL},
	[SOCKETS] = {NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY},
	[ACK] = {NETLINK_ROUTE, NLMSG_NOOP},
	[ERROR] = {NETLINK_ROUTE, RTM_GETLINK},
	[LATE] = {NETLINK_ROUTE, NLMSG_NOOP},
};

static int fds[COUNT];
static uint32_t ports[COUNT], sequence;

static void ask(int i, uint16_t flags, uint32_t number)
{
	struct {
		struct nlmsghdr head;
		union {
			char room[64];
			struct inet_diag_req_v2 diag;
			struct ifinfomsg link;
		};
	} request = {
		.head = {.nlmsg_len = sizeof(request),
			 .nlmsg_type = kinds[i].type,
			 .nlmsg_flags = NLM_F_REQUEST | flags,
			 .nlmsg_seq = number},
	};

	if (i == SOCKETS)
		request.diag = (struct inet_diag_req_v2){
			.sdiag_family = AF_INET,
			.sdiag_protocol = IPPROTO_TCP,
			.idiag_states = ~0u,
		};
	if (i == ERROR)
		request.link.ifi_index = 0x7ffffff0;
	check(send(fds[i], &request, sizeof(request), 0) == sizeof(request));
}

/* 1 when the answer has come to its end, else 0 or -errno. */
static int hear(int i, uint32_t number, int *messages, int *error)
{
	char text[16384] __attribute__((aligned(8)));
	ssize_t got = recv(fds[i], text, sizeof(text), 0);
	struct nlmsghdr *head = (void *)text;
	int over = 0;

	if (got < 0)
		return -errno;
	for (; NLMSG_OK(head, got); head = NLMSG_NEXT(head, got)) {
		if (head->nlmsg_seq != number)
			continue;
		check(head->nlmsg_pid == ports[i]);
		if (head->nlmsg_type == NLMSG_ERROR)
			*error = ((struct nlmsgerr *)NLMSG_DATA(head))->error;
		over |= head->nlmsg_type == NLMSG_DONE ||
			head->nlmsg_type == NLMSG_ERROR;
		*messages += head->nlmsg_type != NLMSG_DONE;
	}
	return over;
}

static uint16_t flags_of(int i)
{
	return i < ACK ? NLM_F_DUMP : NLM_F_ACK;
}

/* 0, or ENOBUFS. */
static int answer(int i, uint32_t number, int *messages, int *error)
{
	int overrun = 0, ret;

	do {
		ret = hear(i, number, messages, error);
		if (ret < 0) {
			check(ret == -ENOBUFS && !overrun);
			overrun = ENOBUFS;
			if (i >= ACK)
				break;
		}
	} while (ret <= 0);
	return overrun;
}

static void prepare(int *read)
{
	struct sockaddr_nl name = {.nl_family = AF_NETLINK};
	socklen_t length = sizeof(name);
	int i, on = 1, none = 0, error;

	for (i = 0; i < COUNT; i++) {
		fds[i] = socket(AF_NETLINK, SOCK_RAW, kinds[i].protocol);
		check(fds[i] >= 0);
		check(bind(fds[i], (void *)&name, sizeof(name)) == 0);
		name.nl_pid = 0;
		setsockopt(fds[i], SOL_NETLINK, NETLINK_EXT_ACK, &on,
			   sizeof(on));
		check(getsockname(fds[i], (void *)&name, &length) == 0);
		ports[i] = name.nl_pid;
		name.nl_pid = 0;
		if (i == LATE)
			setsockopt(fds[i], SOL_SOCKET, SO_RCVBUF, &none,
				   sizeof(none));
		ask(i, flags_of(i), sequence + (uint32_t)i);
	}
	for (i = 0; i < 20; i++)
		ask(LATE, NLM_F_ACK, 1);
	*read = hear(LINKS, sequence + LINKS, &error, &error);
}

static void verify(int restarted, int read)
{
	int i, messages, error, ret, on;
	socklen_t length = sizeof(on);

	for (i = 0; i < COUNT; i++) {
		messages = error = ret = 0;
		if (i != LINKS || !read)
			ret = answer(i, sequence + (uint32_t)i, &messages,
				     &error);
		if (i == LATE)
			check(ret == ENOBUFS);
		else if (!restarted || i == ADDRESSES || i == ACK)
			check(ret == 0 && (messages || i == LINKS));
		if (i == ERROR && !ret)
			check(error == -ENODEV);
		if (i == ACK)
			check(error == 0);
		check(getsockopt(fds[i], SOL_NETLINK, NETLINK_EXT_ACK, &on,
				 &length) == 0 && on == 1);
		/* It goes on. */
		while (recv(fds[i], &error, sizeof(error), MSG_DONTWAIT) >= 0)
			;
		check(errno == EAGAIN);
		ask(i, flags_of(i), 4711);
		messages = 0;
		check(answer(i, 4711, &messages, &error) == 0);
		check(messages);
		close(fds[i]);
	}
}

int main(void)
{
	int round, read;

	for (round = 0; round < 2; round++) {
		sequence = 100 * (uint32_t)(round + 1);
		prepare(&read);
		story_ready();
		verify(round, read);
	}
	return 0;
}
