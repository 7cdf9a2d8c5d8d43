/* SPDX-License-Identifier: MIT */
/*
 * TCP connections to processes of other host groups. When all of ours are
 * parked, the coordinator hears of every end that one of them has and whose
 * other end none of them has: its names, and how much it has ever been given
 * to send. It puts those together that belong together, so that with CAPTURE
 * we hear how much is still to come to each of ours, and tell its process by
 * the registry. Ends that nobody has are told of as well: connections not yet
 * accepted, and those whose last bytes the kernel still sends.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/now.h"
#include "agent/proc.h"
#include "agent/proc.h"
#include "wire/peer.h"

#define LOOKS 100	     /* at one socket, until it stands still */
#define CLOSED_MANY 20000    /* more that have ended are nobody's */
#define REPLY (64 << 10)

/* Of the kernel's include/net/tcp_states.h. */
enum { ESTABLISHED = 1, SYN_SENT, SYN_RECV, FIN_WAIT1, FIN_WAIT2, TIME_WAIT,
       CLOSE, CLOSE_WAIT, LAST_ACK, LISTEN, CLOSING, NEW_SYN_RECV };

/* Where both ends have been sent and confirmed there is nothing to tell: the
 * other one has all. */
#define ASKED (~0u & ~(1u << TIME_WAIT))

struct names {
	unsigned char own[16], other[16];
	uint16_t own_port, other_port;
};

struct sock {
	struct names names;
	int family, state;
	uint32_t ino; /* 0: nobody has it */
	uint32_t waiting; /* at a listener */
	int ours;
};

struct end {
	struct names names;
	int how;       /* enum registry_remote_how */
	uint64_t sent; /* bytes that it has been given, its end being one */
	int called;    /* `sent` has one too many: -1: not known */
	uint32_t listener;
};

static struct {
	struct sock *list;
	size_t count, room;
	int error;
} socks;

static struct {
	uint32_t *list;
	size_t count, room;
} inodes;

static struct {
	struct end *list;
	size_t count, room;
} ends;

static void *grown(void *list, size_t *room, size_t size)
{
	size_t more = *room ? 2 * *room : 256;
	void *new = reallocarray(list, more, size);

	if (new)
		*room = more;
	return new;
}

/* ---- what the kernel knows ---- */

static void put_address(unsigned char to[16], int family, const uint32_t *from)
{
	static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};

	if (family == AF_INET6) {
		memcpy(to, from, 16);
		return;
	}
	memcpy(to, mapped, 12);
	memcpy(to + 12, from, 4);
}

static void sock_add(const struct inet_diag_msg *body)
{
	struct sock *sock;

	if (socks.count == socks.room) {
		void *list = grown(socks.list, &socks.room, sizeof(*sock));

		if (!list) {
			socks.error = -ENOMEM;
			return;
		}
		socks.list = list;
	}
	sock = &socks.list[socks.count++];
	memset(sock, 0, sizeof(*sock));
	sock->family = body->idiag_family;
	sock->state = body->idiag_state;
	sock->ino = body->idiag_inode;
	sock->waiting = sock->state == LISTEN ? body->idiag_rqueue : 0;
	put_address(sock->names.own, sock->family, body->id.idiag_src);
	put_address(sock->names.other, sock->family, body->id.idiag_dst);
	sock->names.own_port = body->id.idiag_sport;
	sock->names.other_port = body->id.idiag_dport;
}

static void socks_forget(void)
{
	free(socks.list);
	memset(&socks, 0, sizeof(socks));
}

struct ask {
	struct nlmsghdr head;
	struct inet_diag_req_v2 body;
};

static int link_open(void)
{
	const struct timeval patience = {.tv_sec = 5};
	int link = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC,
			  NETLINK_SOCK_DIAG);

	if (link < 0)
		return -errno;
	setsockopt(link, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return link;
}

static int dump(int link, int family, uint32_t states)
{
	static char reply[REPLY] __attribute__((aligned(8)));
	struct ask ask = {
		.head = {.nlmsg_len = sizeof(ask),
			 .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			 .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
		.body = {.sdiag_family = (uint8_t)family,
			 .sdiag_protocol = IPPROTO_TCP,
			 .idiag_states = states},
	};
	ssize_t got = write(link, &ask, sizeof(ask));

	while (got >= 0) {
		const struct nlmsghdr *head = (const void *)reply;

		got = recv(link, reply, sizeof(reply), 0);
		if (got < 0)
			break;
		for (; NLMSG_OK(head, got); head = NLMSG_NEXT(head, got)) {
			if (head->nlmsg_type == NLMSG_DONE)
				return 0;
			if (head->nlmsg_type == NLMSG_ERROR)
				return -EOPNOTSUPP;
			sock_add(NLMSG_DATA(head));
		}
	}
	return -errno;
}

static void numbers_parse(const struct nlmsghdr *head, struct end *end)
{
	const struct inet_diag_msg *body = NLMSG_DATA(head);
	const struct rtattr *at = (const void *)(body + 1);
	int left = (int)(head->nlmsg_len - NLMSG_LENGTH(sizeof(*body)));
	int has_ended = body->idiag_state == FIN_WAIT1 ||
			body->idiag_state == FIN_WAIT2 ||
			body->idiag_state == LAST_ACK ||
			body->idiag_state == CLOSING;
	struct tcp_info info;
	int64_t called;

	for (; RTA_OK(at, left); at = RTA_NEXT(at, left)) {
		if (at->rta_type != INET_DIAG_INFO)
			continue;
		memset(&info, 0, sizeof(info));
		memcpy(&info, RTA_DATA(at),
		       RTA_PAYLOAD(at) < sizeof(info) ? RTA_PAYLOAD(at)
						      : sizeof(info));
		end->sent = info.tcpi_bytes_acked + body->idiag_wqueue;
		/* What was sent, counted otherwise: without the handshake, and
		 * without an end that has gone out. */
		called = (int64_t)(end->sent -
				   (info.tcpi_bytes_sent -
				    info.tcpi_bytes_retrans +
				    info.tcpi_notsent_bytes)) -
			 (has_ended && !info.tcpi_notsent_bytes);
		end->called = called == 0 || called == 1 ? (int)called : -1;
		/* For the next look to compare. */
		end->listener = (uint32_t)info.tcpi_bytes_acked;
	}
}

/* The kernel tells of the queue first and of what was confirmed then: where
 * nothing was confirmed between two looks, the second is right. */
static void numbers_of(int link, const struct sock *sock, struct end *end)
{
	static char reply[4096] __attribute__((aligned(8)));
	const struct nlmsghdr *head = (const void *)reply;
	struct ask ask = {
		.head = {.nlmsg_len = sizeof(ask),
			 .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			 .nlmsg_flags = NLM_F_REQUEST},
		.body = {.sdiag_family = (uint8_t)sock->family,
			 .sdiag_protocol = IPPROTO_TCP,
			 .idiag_ext = 1 << (INET_DIAG_INFO - 1),
			 .idiag_states = ~0u,
			 .id.idiag_sport = sock->names.own_port,
			 .id.idiag_dport = sock->names.other_port,
			 .id.idiag_cookie = {~0u, ~0u}},
	};
	size_t from = sock->family == AF_INET6 ? 0 : 12;
	uint64_t least = ~0ull;
	uint32_t confirmed;
	ssize_t got;
	int look;

	memcpy(ask.body.id.idiag_src, sock->names.own + from, 16 - from);
	memcpy(ask.body.id.idiag_dst, sock->names.other + from, 16 - from);
	end->called = -1;
	for (look = 0; look < LOOKS; look++) {
		confirmed = end->listener;
		if (write(link, &ask, sizeof(ask)) < 0)
			break;
		got = recv(link, reply, sizeof(reply), 0);
		if (got < 0 || !NLMSG_OK(head, got) ||
		    head->nlmsg_type != SOCK_DIAG_BY_FAMILY)
			break; /* it has ended: all has arrived */
		numbers_parse(head, end);
		if (end->sent < least)
			least = end->sent;
		if (look && end->listener == confirmed)
			break;
	}
	if (look == LOOKS)
		end->sent = least;
	end->listener = 0;
}

/* ---- whose they are ---- */

static void inode_add(ino_t ino)
{
	if (inodes.count == inodes.room) {
		void *list = grown(inodes.list, &inodes.room, sizeof(uint32_t));

		if (!list) {
			socks.error = -ENOMEM;
			return;
		}
		inodes.list = list;
	}
	inodes.list[inodes.count++] = (uint32_t)ino;
}

static int inode_order(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void find_inodes(void)
{
	int ret;

	descriptors_look();
	ret = descriptors_sockets(inode_add);
	if (ret < 0)
		socks.error = ret;
	for (struct part *p = now.parts; p; p = p->next)
		if (p->is_hidden)
			ending_warn("process %d (%s) does not let its "
				    "descriptors be seen (PR_SET_DUMPABLE): "
				    "connections to other hosts are not kept",
				    p->pid, p->program);
	if (inodes.count)
		qsort(inodes.list, inodes.count, sizeof(uint32_t),
		      inode_order);
}

static int names_order(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct names)); /* no padding */
}

_Static_assert(sizeof(struct names) == 36, "compared as bytes");

/* Sorted. */
static const struct sock *sock_find(const struct names *names)
{
	return bsearch(names, socks.list, socks.count, sizeof(struct sock),
		       names_order);
}

static const struct sock *other_end(const struct sock *sock)
{
	struct names names = {
		.own_port = sock->names.other_port,
		.other_port = sock->names.own_port,
	};

	memcpy(names.own, sock->names.other, 16);
	memcpy(names.other, sock->names.own, 16);
	return sock_find(&names);
}

/* The listener of ours at which it waits; 0: there is none. */
static uint32_t listener_of(const struct sock *sock)
{
	static const unsigned char nothing[16] = {[10] = 0xff, [11] = 0xff};
	static const unsigned char six[16];
	struct names names = {.own_port = sock->names.own_port};
	const unsigned char *tries[] = {sock->names.own, nothing, six};
	const struct sock *found;

	for (size_t i = 0; i < 3; i++) {
		memcpy(names.own, tries[i], 16);
		memcpy(names.other, i == 2 ? six : nothing, 16);
		found = sock_find(&names);
		if (!found && i == 0) {
			memcpy(names.other, six, 16);
			found = sock_find(&names);
		}
		if (found && found->state == LISTEN)
			return found->ours ? found->ino : 0;
	}
	return 0;
}

/* ---- the report ---- */

static struct end *end_add(const struct sock *sock, int how)
{
	struct end *end;

	if (ends.count == ends.room) {
		void *list = grown(ends.list, &ends.room, sizeof(*end));

		if (!list) {
			socks.error = -ENOMEM;
			return NULL;
		}
		ends.list = list;
	}
	end = &ends.list[ends.count++];
	*end = (struct end){.names = sock->names, .how = how};
	return end;
}

static int is_ending(int state)
{
	return state == FIN_WAIT1 || state == FIN_WAIT2 || state == LAST_ACK ||
	       state == CLOSING;
}

static void look_at(int link, const struct sock *sock, size_t *closed)
{
	const struct sock *other;
	uint32_t listener;
	struct end *end;

	if (sock->state == LISTEN || sock->state == SYN_SENT ||
	    (sock->ino && !sock->ours))
		return;
	other = other_end(sock);
	if (other && other->ours)
		return; /* they find each other */
	if (sock->ours) {
		end = end_add(sock, REMOTE_HELD);
		if (end)
			numbers_of(link, sock, end);
	} else if (is_ending(sock->state)) {
		/* The other one has all that was sent, which is not known any
		 * more. */
		if (sock->state == FIN_WAIT2 && ++*closed > CLOSED_MANY)
			return;
		end = end_add(sock, REMOTE_CLOSED);
		if (end && sock->state != FIN_WAIT2)
			numbers_of(link, sock, end);
	} else {
		listener = listener_of(sock);
		end = listener ? end_add(sock, REMOTE_WAITS) : NULL;
		if (end)
			end->listener = listener;
	}
}

static int is_loopback(const unsigned char a[16])
{
	static const unsigned char four[13] = {[10] = 0xff, [11] = 0xff, 127};
	static const unsigned char six[16] = {[15] = 1};

	return memcmp(a, four, 13) == 0 || memcmp(a, six, 16) == 0;
}

/* Where loopback addresses are those of one another. */
static const char *here(void)
{
	static char text[64];
	struct stat st = {0};
	FILE *f;

	if (*text)
		return text;
	f = fopen("/proc/sys/kernel/random/boot_id", "re");
	if (!f || fscanf(f, "%36s", text) != 1)
		strcpy(text, "?");
	if (f)
		fclose(f);
	stat("/proc/self/ns/net", &st);
	snprintf(text + strlen(text), 24, ":%lu ", (unsigned long)st.st_ino);
	return text;
}

static json_t *key(const unsigned char a[16], uint16_t port,
		   const unsigned char b[16], uint16_t other_port)
{
	char x[INET6_ADDRSTRLEN], y[INET6_ADDRSTRLEN];

	return json_sprintf("%s%s %u %s %u",
			    is_loopback(a) || is_loopback(b) ? here() : "",
			    inet_ntop(AF_INET6, a, x, sizeof(x)), ntohs(port),
			    inet_ntop(AF_INET6, b, y, sizeof(y)),
			    ntohs(other_port));
}

static json_t *report(void)
{
	json_t *list = json_array();

	for (size_t i = 0; i < ends.count; i++) {
		const struct end *e = &ends.list[i];
		const struct names *n = &e->names;

		json_array_append_new(
			list, json_pack("[o, o, [i, I, i, I]]",
					key(n->own, n->own_port, n->other,
					    n->other_port),
					key(n->other, n->other_port, n->own,
					    n->own_port),
					e->how, (json_int_t)e->sent, e->called,
					(json_int_t)e->listener));
	}
	return list;
}

json_t *remotes_report(void)
{
	size_t i, closed = 0;
	int link, ret;

	remotes_free();
	if (now.groups < 2)
		return json_array();
	link = link_open();
	ret = link < 0 ? link : dump(link, AF_INET, ASKED);
	if (ret == 0)
		ret = dump(link, AF_INET6, ASKED);
	if (ret == 0 && socks.count) {
		find_inodes();
		qsort(socks.list, socks.count, sizeof(*socks.list),
		      names_order);
		for (i = 0; i < socks.count; i++)
			socks.list[i].ours =
				inodes.count && socks.list[i].ino &&
				bsearch(&socks.list[i].ino, inodes.list,
					inodes.count, sizeof(uint32_t),
					inode_order) != NULL;
		for (i = 0; i < socks.count; i++)
			look_at(link, &socks.list[i], &closed);
	}
	if (link >= 0)
		close(link);
	if (ret == -EOPNOTSUPP) {
		ending_warn("the kernel does not tell of TCP connections "
			    "(tcp_diag): those to other hosts are not kept");
		ret = 0;
	}
	if (ret == 0)
		ret = socks.error;
	if (ret < 0)
		ending_fail(NULL, ret, "looking at the TCP connections of this "
				       "host");
	else if (ends.count > REGISTRY_REMOTES_MOST)
		ending_fail(NULL, 0, "%zu TCP connections of this host lead to "
				     "others; %u can be kept",
			    ends.count, REGISTRY_REMOTES_MOST);
	socks_forget();
	free(inodes.list);
	memset(&inodes, 0, sizeof(inodes));
	return report();
}

/* ---- who accepts connections ---- */

static int dump_listeners(void)
{
	int link = link_open();
	int ret = link < 0 ? link : dump(link, AF_INET, 1u << LISTEN);

	if (ret == 0)
		ret = dump(link, AF_INET6, 1u << LISTEN);
	if (link >= 0)
		close(link);
	return ret;
}

static int sock_ino_order(const void *a, const void *b)
{
	uint32_t x = ((const struct sock *)a)->ino;
	uint32_t y = ((const struct sock *)b)->ino;

	return (x > y) - (x < y);
}

static void look_for_server(int dir, const char *name, void *data)
{
	struct part *p = data;
	struct sock asked;
	struct stat st;

	if (p->serves || fstatat(dir, name, &st, 0) < 0 ||
	    !S_ISSOCK(st.st_mode))
		return;
	asked.ino = (uint32_t)st.st_ino;
	p->serves = bsearch(&asked, socks.list, socks.count, sizeof(asked),
			    sock_ino_order) != NULL;
}

void remotes_find_servers(void)
{
	char path[32];

	if (dump_listeners() == 0 && socks.count) {
		qsort(socks.list, socks.count, sizeof(*socks.list),
		      sock_ino_order);
		for (struct part *p = now.parts; p; p = p->next) {
			snprintf(path, sizeof(path), "/proc/%d/fd", p->pid);
			proc_numbers(path, look_for_server, p);
		}
	}
	socks_forget();
}

uint64_t remotes_waiting(void)
{
	uint64_t waiting = 0;

	dump_listeners();
	for (size_t i = 0; i < socks.count; i++)
		waiting += socks.list[i].waiting;
	socks_forget();
	return waiting;
}

/* ---- the answer ---- */

static void tell(const struct end *mine, const json_t *answer)
{
	const json_t *data = json_array_get(answer, 3);
	struct registry_remote *all = registry_remotes(agent.registry);
	int called = (int)json_integer_value(json_array_get(data, 2)), ours;
	struct registry_remote r = {
		.own_port = mine->names.own_port,
		.other_port = mine->names.other_port,
		.expected = (uint64_t)json_integer_value(
			json_array_get(data, 1)),
		.how = (uint16_t)json_integer_value(json_array_get(data, 0)),
		.pair = (uint64_t)json_integer_value(json_array_get(answer, 0)),
		.side = (uint32_t)json_integer_value(json_array_get(answer, 1)),
	};
	uint32_t at;

	memcpy(r.own, mine->names.own, 16);
	memcpy(r.other, mine->names.other, 16);
	/* One of the two has called. */
	ours = mine->called;
	if (called < 0 && ours >= 0)
		called = !ours;
	r.unsure = called < 0;
	if (called > 0 && r.expected)
		r.expected--;
	if (r.how == REMOTE_WAITS) {
		r.pair = (uint64_t)json_integer_value(json_array_get(data, 3));
		r.side = (uint32_t)json_integer_value(
			json_array_get(answer, 2));
	}
	at = registry_remote_place(&r);
	while (all[at].request == now.number)
		at = (at + 1) % REGISTRY_REMOTES;
	r.request = now.number;
	all[at] = r;
}

void remotes_take(const json_t *answers)
{
	if (now.groups > 1)
		agent.registry->remotes = now.number;
	for (size_t i = 0; i < ends.count; i++)
		if (ends.list[i].how == REMOTE_HELD &&
		    json_is_array(json_array_get(answers, i)))
			tell(&ends.list[i], json_array_get(answers, i));
	remotes_free();
}

void remotes_free(void)
{
	free(ends.list);
	memset(&ends, 0, sizeof(ends));
}
