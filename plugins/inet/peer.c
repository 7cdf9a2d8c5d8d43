/* SPDX-License-Identifier: MIT */
/*
 * inet, saving: the other end of a TCP connection. While all processes of the
 * computation stand still, what one end has sent comes to rest in the queue of
 * the other, where it can be looked at; so nothing is ever put into or taken
 * out of a stream. Each end sees to what comes to it: the kernel's inet_diag
 * tells how much the other one has sent, and a queue that is too small for
 * that is widened, as the kernel itself does when a reader is fast.
 *
 * An end that sends more meanwhile is not of ours: it is not waited for. Of one
 * in another host group the agents have asked each other; see ckpt_remote().
 */
#define _GNU_SOURCE
#include <asm/ioctls.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <time.h>

#include "plugins/inet/save.h"
#include "plugins/sockopt_save.h"
#include "sys/string.h"
#include "sys/sys.h"

#define PATIENCE_NS 3000000000ull /* without anything arriving */
#define REMOTE_NS 8000000000ull	  /* the same, between hosts: bytes get lost */
#define UNSURE_NS 300000000ull	  /* until nothing more is believed in */
#define FULL_TURNS 100 /* a queue has been widened as often as may help */
#define RECEIVE_LOCK 2		  /* of SO_BUF_LOCK */
#define OPTION_RCVLOWAT 18
#define OPTION_RCVBUFFORCE 33
#define OPTION_MEMINFO 55

struct end {
	uint32_t state;
	uint32_t ino;	 /* 0: no process has it */
	uint32_t unsent; /* or sent, and not confirmed; an end counts as one */
	uint64_t confirmed, received;
	uint64_t all;	 /* it has ever sent or wants to */
	uint32_t age_ms; /* since it sent or was made */
};

static uint32_t word_at(const void *at)
{
	uint32_t word;

	__builtin_memcpy(&word, at, sizeof(word));
	return word;
}

/* ---- inet_diag ---- */

struct ask {
	struct nlmsghdr head;
	struct inet_diag_req_v2 body;
};

/* In the family of IPv4 where both are of it, behind ::ffff: or not. */
static int name_split(const struct inet_name *name, uint32_t address[4],
		      uint16_t *port)
{
	const unsigned char *at = name->address;

	if (name->length < 8)
		return -EINVAL;
	__builtin_memcpy(port, at + 2, sizeof(*port));
	__builtin_memset(address, 0, 4 * sizeof(*address));
	if (*(const uint16_t *)(const void *)at == FAMILY_INET) {
		address[0] = word_at(at + 4);
		return FAMILY_INET;
	}
	if (!word_at(at + 8) && !word_at(at + 12) && at[16] == 0 &&
	    at[17] == 0 && at[18] == 0xff && at[19] == 0xff) {
		address[0] = word_at(at + 20);
		return FAMILY_INET;
	}
	__builtin_memcpy(address, at + 8, 16);
	return FAMILY_INET6;
}

static int diag_parse(const char *reply, size_t length, struct end *end)
{
	const struct nlmsghdr *head = (const void *)reply;
	const struct inet_diag_msg *body = NLMSG_DATA(head);
	size_t at = NLMSG_SPACE(sizeof(*body));
	struct tcp_info info;

	if (length < sizeof(*head) || head->nlmsg_len > length)
		return -EBADMSG;
	if (head->nlmsg_type == NLMSG_ERROR)
		return ((const struct nlmsgerr *)NLMSG_DATA(head))->error ?:
			       -EBADMSG;
	if (head->nlmsg_len < at)
		return -EBADMSG;
	end->state = body->idiag_state;
	end->ino = body->idiag_inode;
	end->unsent = body->idiag_wqueue;
	while (at + sizeof(struct nlattr) <= head->nlmsg_len) {
		const struct nlattr *attribute = (const void *)(reply + at);
		uint32_t size = attribute->nla_len;

		if (size < NLA_HDRLEN || at + size > head->nlmsg_len)
			return -EBADMSG;
		if ((attribute->nla_type & NLA_TYPE_MASK) == INET_DIAG_INFO) {
			size -= NLA_HDRLEN;
			__builtin_memset(&info, 0, sizeof(info));
			__builtin_memcpy(&info, attribute + 1,
					 size < sizeof(info) ? size :
							       sizeof(info));
			end->confirmed = info.tcpi_bytes_acked;
			end->received = info.tcpi_bytes_received;
			end->all = info.tcpi_bytes_sent -
				   info.tcpi_bytes_retrans +
				   info.tcpi_notsent_bytes;
			end->age_ms = info.tcpi_last_data_sent;
		}
		at += NLA_ALIGN(attribute->nla_len);
	}
	return 0;
}

/* The socket whose own name is `own`, connected to `other`. */
static int diag_ask(const struct inet_name *own, const struct inet_name *other,
		    struct end *end)
{
	static char reply[4096] __attribute__((aligned(8)));
	struct ask ask = {
		.head = {.nlmsg_len = sizeof(ask),
			 .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			 .nlmsg_flags = NLM_F_REQUEST},
		.body = {.sdiag_protocol = PROTOCOL_TCP,
			 .idiag_ext = 1 << (INET_DIAG_INFO - 1),
			 .idiag_states = ~0u,
			 .id.idiag_cookie = {~0u, ~0u}},
	};
	int a = name_split(own, ask.body.id.idiag_src, &ask.body.id.idiag_sport);
	int b = name_split(other, ask.body.id.idiag_dst,
			   &ask.body.id.idiag_dport);
	long link, ret;

	__builtin_memset(end, 0, sizeof(*end));
	if (a < 0 || a != b)
		return -ENOENT;
	ask.body.sdiag_family = (uint8_t)a;
	link = SYS_CALL(SYS_socket, FAMILY_NETLINK, TYPE_RAW | TYPE_CLOEXEC,
			NETLINK_SOCK_DIAG);
	if (link < 0)
		return (int)link;
	ret = sys_write((int)link, &ask, sizeof(ask));
	if (ret >= 0)
		ret = sys_read((int)link, reply, sizeof(reply));
	if (ret >= 0)
		ret = diag_parse(reply, (size_t)ret, end);
	sys_close((int)link);
	/* Where there is no connection it takes the listener. */
	if (ret >= 0 && end->state == STATE_LISTEN)
		ret = -ENOENT;
	return (int)ret;
}

/* A socket that waits for its answer does not tell whom it has called: among
 * all that do, the one of this inode. */
static int diag_find(uint64_t ino, int family, struct inet_name *other)
{
	static char reply[16384] __attribute__((aligned(8)));
	struct ask ask = {
		.head = {.nlmsg_len = sizeof(ask),
			 .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			 .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
		.body = {.sdiag_protocol = PROTOCOL_TCP,
			 .sdiag_family = (uint8_t)family,
			 .idiag_states = 1 << STATE_SYN_SENT},
	};
	long link = SYS_CALL(SYS_socket, FAMILY_NETLINK,
			     TYPE_RAW | TYPE_CLOEXEC, NETLINK_SOCK_DIAG);
	long got = link < 0 ? link : sys_write((int)link, &ask, sizeof(ask));
	int found = 0, is_over = got < 0;

	while (!is_over) {
		const struct nlmsghdr *head = (const void *)reply;

		got = sys_read((int)link, reply, sizeof(reply));
		is_over = got < (long)sizeof(*head);
		for (; !is_over && NLMSG_OK(head, (unsigned)got);
		     head = NLMSG_NEXT(head, got)) {
			const struct inet_diag_msg *body = NLMSG_DATA(head);
			unsigned char *at = other->address;

			is_over = head->nlmsg_type == NLMSG_DONE ||
				  head->nlmsg_type == NLMSG_ERROR;
			if (is_over || body->idiag_inode != (uint32_t)ino)
				continue;
			found = 1;
			__builtin_memset(at, 0, INET_NAME);
			*(uint16_t *)(void *)at = (uint16_t)family;
			__builtin_memcpy(at + 2, &body->id.idiag_dport, 2);
			other->length = family == FAMILY_INET ? 16 : 28;
			__builtin_memcpy(at + (family == FAMILY_INET ? 4 : 8),
					 body->id.idiag_dst,
					 family == FAMILY_INET ? 4 : 16);
		}
	}
	if (link >= 0)
		sys_close((int)link);
	return found;
}

static void end_of(int fd, struct end *end)
{
	struct tcp_info info;
	int unsent = 0;

	__builtin_memset(&info, 0, sizeof(info));
	sockopt_get(fd, PROTOCOL_TCP, TCP_INFO, &info, sizeof(info));
	sys_ioctl(fd, SIOCOUTQ, &unsent);
	*end = (struct end){
		.state = info.tcpi_state,
		.unsent = (uint32_t)unsent,
		.confirmed = info.tcpi_bytes_acked,
		.received = info.tcpi_bytes_received,
	};
}

/* ---- until all has arrived ---- */

/* Bytes that have not come yet; too many, when some came between the two looks
 * of the kernel. It counts the handshake of the end
 * that has called as one byte that was confirmed: which of the two that is can
 * be seen where everything has arrived; else one too many may be told, until
 * the confirmation comes. */
static uint64_t missing(const struct end *mine, const struct end *other)
{
	uint64_t sent = other->confirmed + other->unsent;
	uint64_t called = 0;

	if (!other->unsent || sent <= mine->received)
		return 0;
	if (!mine->unsent && mine->confirmed == other->received)
		called = 1;
	return sent - mine->received - called;
}

/* Could the size that it has be set again? */
static int can_put_back(const struct inet_record *record, int32_t size)
{
	long probe = SYS_CALL(SYS_socket, record->domain,
			      record->type | TYPE_CLOEXEC, 0);
	int32_t half = size / 2, now = 0;

	if (probe < 0)
		return 0;
	SYS_CALL(SYS_setsockopt, probe, SOCKOPT_SOCKET, SOCKOPT_RCVBUF, &half,
		 sizeof(half));
	now = sockopt_int((int)probe, SOCKOPT_SOCKET, SOCKOPT_RCVBUF);
	sys_close((int)probe);
	return now == size;
}

static void set_int(int fd, int option, int32_t value)
{
	SYS_CALL(SYS_setsockopt, fd, SOCKOPT_SOCKET, option, &value,
		 sizeof(value));
}

/* SO_RCVLOWAT makes room for what it asks, without privilege and beyond the
 * limit that SO_RCVBUF has; a look at the queue then tells the other end.
 * Who may exceed its limit, too, does. */
static int widen(int fd, const struct inet_record *record, uint64_t need)
{
	const struct sockopt_record *options = &record->socket_options;
	int is_locked = options->locks > 0 && (options->locks & RECEIVE_LOCK);
	int can_narrow = options->locks >= 0 &&
			 can_put_back(record, options->receive_buffer);
	char byte;

	if (is_locked && !can_narrow)
		return 0;
	if (can_narrow)
		set_int(fd, OPTION_RCVBUFFORCE, (int32_t)need);
	if (options->locks >= 0)
		set_int(fd, SOCKOPT_BUF_LOCK, options->locks & ~RECEIVE_LOCK);
	set_int(fd, OPTION_RCVLOWAT, (int32_t)need);
	SYS_CALL(SYS_recvfrom, fd, &byte, 1, MESSAGE_PEEK | MESSAGE_DONTWAIT,
		 NULL, NULL);
	set_int(fd, OPTION_RCVLOWAT, options->values[SOCKOPT_RCVLOWAT]);
	return can_narrow;
}

/* As little as will do: who sends would fill all of it before the next
 * checkpoint, which had to find room for still more. */
static uint64_t room_for(uint64_t bytes, uint64_t before)
{
	uint64_t room = before ? before + before / 2 :
				 bytes + bytes / 8 + (64 << 10);

	return room < 1 << 30 ? room : 1 << 30;
}

static void narrow(int fd, const struct inet_record *record)
{
	set_int(fd, SOCKOPT_RCVBUF, record->socket_options.receive_buffer / 2);
	set_int(fd, SOCKOPT_BUF_LOCK, record->socket_options.locks);
}

static uint64_t unread(int fd)
{
	int count = 0;

	sys_ioctl(fd, SIOCINQ, &count);
	return count > 0 ? (uint64_t)count : 0;
}

/* It is as wide as it can be, and that is not enough: the program has to read. */
static int is_full(int fd, uint64_t left)
{
	uint32_t memory[9] = {0};

	sockopt_get(fd, SOCKOPT_SOCKET, OPTION_MEMINFO, memory, sizeof(memory));
	return memory[SK_MEMINFO_RMEM_ALLOC] + left > memory[SK_MEMINFO_RCVBUF];
}

/* Nothing tells when a queue has been filled to a certain point. */
static void nap(uint32_t turn)
{
	struct __kernel_timespec time = {
		.tv_nsec = turn < 10 ? 50000 : turn < 30 ? 500000 : 2000000,
	};

	SYS_CALL(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &time, NULL);
}

/* Returns 0, or -EAGAIN: something is on its way that does not come. */
static int await_arrival(int fd, struct inet_record *record, struct end *other)
{
	uint64_t all = other->all, left, least = ~0ull;
	uint64_t deadline = 0, room = 0;
	struct end mine;
	uint32_t turn = 0, still = 0;
	int has_narrow = 0, ret = 0;

	for (;;) {
		end_of(fd, &mine);
		if (mine.state == STATE_CLOSE)
			break;
		if (other->all > all + 1) { /* an end may count as one */
			record->flags |= INET_STRANGE;
			break;
		}
		left = missing(&mine, other);
		if (!left)
			break;
		if (left < least) {
			least = left;
			still = 0;
			deadline = sys_clock_ns(CLOCK_MONOTONIC) + PATIENCE_NS;
		} else if (sys_clock_ns(CLOCK_MONOTONIC) > deadline ||
			   (still > FULL_TURNS && is_full(fd, left))) {
			ret = -EAGAIN;
			break;
		}
		/* It has had its time to come by itself. */
		if (++still % 8 == 4) {
			room = room_for(unread(fd) + left, room);
			has_narrow |= widen(fd, record, room);
		}
		nap(turn++);
		if (diag_ask(&record->peer_name, &record->name, other) < 0)
			break; /* gone: all has come, or is lost */
	}
	if (has_narrow)
		narrow(fd, record);
	return ret;
}

/* ---- the other end is in another host group ---- */

static void address_of(const struct inet_name *name, unsigned char to[16],
		       uint16_t *port)
{
	static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
	uint32_t address[4];

	__builtin_memset(to, 0, 16);
	if (name_split(name, address, port) == FAMILY_INET) {
		__builtin_memcpy(to, mapped, 12);
		__builtin_memcpy(to + 12, address, 4);
	} else {
		__builtin_memcpy(to, address, 16);
	}
}

static int find_remote(const struct inet_record *record,
		       struct ckpt_remote *remote)
{
	unsigned char own[16], other[16];
	uint16_t own_port = 0, other_port = 0;

	address_of(&record->name, own, &own_port);
	address_of(&record->peer_name, other, &other_port);
	return ckpt_remote(own, own_port, other, other_port, remote);
}

/* All of its group stand still, so it is known how much there is to come. */
static int await_remote(int fd, const struct inet_record *record,
			const struct ckpt_remote *remote)
{
	uint64_t had = ~0ull, now, moved = sys_clock_ns(CLOCK_MONOTONIC);
	uint64_t left, room = 0;
	int has_narrow = 0, ret = 0;
	uint32_t turn = 0, still = 0;
	struct end mine;

	for (;;) {
		end_of(fd, &mine);
		if (mine.state == STATE_CLOSE ||
		    mine.received >= remote->expected)
			break;
		left = remote->expected - mine.received;
		now = sys_clock_ns(CLOCK_MONOTONIC);
		if (mine.received != had) {
			had = mine.received;
			moved = now;
			still = 0;
		} else if (remote->unsure && left == 1 &&
			   now - moved > UNSURE_NS) {
			break;
		} else if (now - moved > REMOTE_NS ||
			   (still > FULL_TURNS && is_full(fd, left))) {
			ret = -EAGAIN;
			break;
		}
		if (++still % 8 == 4) {
			room = room_for(unread(fd) + left, room);
			has_narrow |= widen(fd, record, room);
		}
		nap(turn++);
	}
	if (has_narrow)
		narrow(fd, record);
	return ret;
}

static const char *name_text(const struct inet_name *name, char text[64])
{
	unsigned char address[16];
	struct sys_text t;
	uint16_t port = 0;
	int i, from, is_four;

	address_of(name, address, &port);
	is_four = *(const uint16_t *)(const void *)name->address ==
			  FAMILY_INET || address[10] == 0xff;
	sys_text_open(&t, text, 64);
	if (!is_four)
		sys_text_put(&t, "[");
	from = is_four ? 12 : 0;
	for (i = from; i < 16; i += is_four ? 1 : 2) {
		if (i > from)
			sys_text_put(&t, is_four ? "." : ":");
		sys_text_number(&t, is_four ? address[i] :
					(uint64_t)address[i] << 8 |
						address[i + 1],
				is_four ? 10 : 16);
	}
	sys_text_put(&t, is_four ? ":" : "]:");
	sys_text_number(&t, (uint16_t)(port << 8 | port >> 8), 10);
	return text;
}

static int refuse_pair(const struct ckpt_fd *fd,
		       const struct inet_record *record, int error,
		       const char *why)
{
	char number[24], own[64], other[64];
	struct sys_text text;

	sys_text_open(&text, number, sizeof(number));
	sys_text_number(&text, (uint64_t)fd->fd, 10);
	return ckpt_refuse(error, "fd ", number, ", ",
			   name_text(&record->name, own), " to ",
			   name_text(&record->peer_name, other), ": ", why,
			   "; try again later", NULL);
}

static int meet_remote(const struct ckpt_fd *fd, struct inet_record *record,
		       const struct ckpt_remote *remote)
{
	struct tcp_info info;
	struct end mine;

	if (remote->how == CKPT_REMOTE_CLOSED) {
		record->flags |= INET_PEER_CLOSED;
	} else {
		record->flags |= INET_PAIRED;
		record->pair = remote->pair;
		record->side = remote->side;
	}
	if (remote->how == CKPT_REMOTE_WAITS) {
		record->flags |= INET_WAITS;
		__builtin_memset(&info, 0, sizeof(info));
		sockopt_get(fd->fd, PROTOCOL_TCP, TCP_INFO, &info,
			    sizeof(info));
		record->since_ms =
			(uint32_t)(sys_clock_ns(CLOCK_MONOTONIC_COARSE) /
				   1000000) - info.tcpi_last_data_sent;
		end_of(fd->fd, &mine);
		if (mine.confirmed + mine.unsent >
		    1u + !!(record->flags & INET_SENT_END))
			return refuse_pair(fd, record, -EBUSY,
					   "it has sent to a connection that "
					   "is not accepted yet");
		return 0;
	}
	if (await_remote(fd->fd, record, remote) < 0) {
		inet_throttle_reader(fd->fd, record);
		return refuse_pair(fd, record, -ENOBUFS,
				   "what its other end has sent does not "
				   "arrive");
	}
	return 0;
}

/* ---- what is asked ---- */

/* Of the same address, or of the loopback: of this host, if it is any more. */
static int is_near(const struct inet_record *record)
{
	uint32_t own[4], other[4];
	uint16_t port;
	int a = name_split(&record->name, own, &port);
	int b = name_split(&record->peer_name, other, &port);

	return a == b && __builtin_memcmp(own, other, sizeof(own)) == 0;
}

static int is_unaccepted(const struct end *other)
{
	return !other->ino && (other->state == STATE_ESTABLISHED ||
			       other->state == STATE_CLOSE_WAIT ||
			       other->state == STATE_SYN_RECEIVED ||
			       other->state == STATE_NEW_RECEIVED);
}

/* What it has sent is in a queue that nobody can look at. One byte is the
 * handshake's, one the end's. */
static int meet_nobody(const struct ckpt_fd *fd, struct inet_record *record,
		       const struct end *other)
{
	struct end mine;

	end_of(fd->fd, &mine);
	record->flags |= INET_WAITS | INET_PEER_HERE;
	record->since_ms = (uint32_t)(sys_clock_ns(CLOCK_MONOTONIC_COARSE) /
				      1000000) - other->age_ms;
	if (mine.confirmed + mine.unsent >
	    1u + !!(record->flags & INET_SENT_END))
		return inet_refuse(fd, -EBUSY,
				   "it has sent to a connection that is not "
				   "accepted yet; try again later");
	return 0;
}

int inet_meet(const struct ckpt_fd *fd, struct inet_record *record)
{
	struct ckpt_remote remote;
	struct end other;
	int ret;

	if (find_remote(record, &remote))
		return meet_remote(fd, record, &remote);
	ret = diag_ask(&record->peer_name, &record->name, &other);
	if (is_near(record))
		record->flags |= INET_PEER_HERE;
	if (ret == -ENOENT) /* of another host, or it has gone */
		return 0;
	if (ret < 0)
		return 0; /* it cannot be told: as one outside */
	if (is_unaccepted(&other))
		return meet_nobody(fd, record, &other);
	record->flags |= INET_PEER_HERE;
	record->peer_ino = other.ino;
	if (await_arrival(fd->fd, record, &other) < 0) {
		inet_throttle_reader(fd->fd, record);
		return inet_refuse(fd, -ENOBUFS,
				   "what its other end has sent does not "
				   "arrive; try again later");
	}
	return 0;
}

void inet_called(const struct ckpt_fd *fd, struct inet_record *record)
{
	diag_find(fd->st.ino, record->domain, &record->peer_name);
}

void inet_hurry(int fd, const struct inet_record *record)
{
	static const int off, on = 1;
	int unsent = 0;

	sys_ioctl(fd, SIOCOUTQNSD, &unsent);
	if (unsent <= 0)
		return;
	if (record->options[INET_OPTION_TCP_CORK]) {
		SYS_CALL(SYS_setsockopt, fd, PROTOCOL_TCP, TCP_CORK, &off,
			 sizeof(off));
		SYS_CALL(SYS_setsockopt, fd, PROTOCOL_TCP, TCP_CORK, &on,
			 sizeof(on));
	}
	if (!record->options[INET_OPTION_TCP_NODELAY]) {
		SYS_CALL(SYS_setsockopt, fd, PROTOCOL_TCP, TCP_NODELAY, &on,
			 sizeof(on));
		SYS_CALL(SYS_setsockopt, fd, PROTOCOL_TCP, TCP_NODELAY, &off,
			 sizeof(off));
	}
}
