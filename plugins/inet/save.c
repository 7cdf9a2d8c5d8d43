/* SPDX-License-Identifier: MIT */
/*
 * inet, saving: TCP, UDP and raw sockets of IPv4 and IPv6. Kept: family, type,
 * options, addresses, listening with its backlog, multicast groups, filters,
 * the peer a datagram socket was connected to, datagrams that wait; of a TCP
 * connection whose other end is in the computation, all: what waits unread
 * and what was on its way, the urgent byte, which halves are closed; those
 * that nobody has accepted yet, those that are not answered yet. A connection
 * to somebody outside comes back as reset by its peer, or at its end, if the
 * peer has sent that.
 * Refused: data sent to a connection that nobody has accepted yet, TLS in the
 * kernel. Not kept: datagrams of raw sockets, who is waiting from outside.
 *
 * peer.c sees to it that nothing is on its way, queue.c looks what waits.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/stat.h>
#include <linux/tcp.h>
#include <poll.h>

#include "plugins/inet/save.h"
#include "plugins/sockopt_save.h"
#include "sys/string.h"
#include "sys/sys.h"

#define OPTION_BINDTODEVICE 25
#define OPTION_GET_FILTER 26
#define OPTION_MAX_PACING_RATE 47
#define OPTION_NETNS_COOKIE 71
#define FILTER_MAX 4096 /* BPF_MAXINSNS */

static int has_hurried; /* of this process, in this checkpoint */

int inet_refuse(const struct ckpt_fd *fd, int error, const char *why)
{
	char number[24];
	struct sys_text text;

	sys_text_open(&text, number, sizeof(number));
	sys_text_number(&text, (uint64_t)fd->fd, 10);
	return ckpt_refuse(error, "fd ", number, " (internet socket): ", why,
			   NULL);
}

int inet_poll(int fd)
{
	struct pollfd asked = {fd, POLLIN | POLLOUT | POLLRDHUP, 0};
	struct __kernel_timespec now = {0, 0};

	if (SYS_CALL(SYS_ppoll, &asked, 1, &now, NULL, 0) < 0)
		return 0;
	return asked.revents;
}

static int inet_matches(const struct ckpt_fd *fd)
{
	int domain;

	if ((fd->st.mode & S_IFMT) != S_IFSOCK || (fd->status_flags & O_PATH))
		return 0;
	domain = sockopt_int(fd->fd, SOCKOPT_SOCKET, SOCKOPT_DOMAIN);
	return domain == FAMILY_INET || domain == FAMILY_INET6;
}

static void inet_name(int fd, long call, struct inet_name *name)
{
	uint32_t length = sizeof(name->address);

	if (SYS_CALL(call, fd, name->address, &length) < 0 ||
	    length > sizeof(name->address))
		length = 0;
	name->length = length;
}

/* ---- options ---- */

static void inet_options(int fd, struct inet_record *record)
{
	static const struct { int level, number; } options[] = {
#define INET_OPTION(level, number, name) {level, number},
		INET_OPTION_LIST
#undef INET_OPTION
	};
	int i;

	for (i = 0; i < INET_OPTION_COUNT; i++)
		if (sockopt_get(fd, options[i].level, options[i].number,
				&record->options[i], sizeof(int32_t)) == 0)
			record->known[i / 64] |= 1ull << i % 64;
	if (record->type == TYPE_STREAM)
		sockopt_get(fd, PROTOCOL_TCP, TCP_CONGESTION,
			    record->congestion, sizeof(record->congestion) - 1);
	sockopt_get(fd, SOCKOPT_SOCKET, OPTION_BINDTODEVICE, record->device,
		    sizeof(record->device));
	sockopt_get(fd, SOCKOPT_SOCKET, OPTION_MAX_PACING_RATE,
		    &record->pacing, sizeof(record->pacing));
	sockopt_get(fd, SOCKOPT_SOCKET, OPTION_NETNS_COOKIE, &record->network,
		    sizeof(record->network));
}

/* The length counts instructions. */
static uint32_t inet_filter(int fd, struct ckpt_record *out)
{
	static struct sock_filter filter[FILTER_MAX];
	uint32_t count = FILTER_MAX;

	if (SYS_CALL(SYS_getsockopt, fd, SOCKOPT_SOCKET, OPTION_GET_FILTER,
		     filter, &count) < 0 || count > FILTER_MAX)
		count = 0;
	if (out)
		ckpt_put(out, filter, count * sizeof(*filter));
	return count * (uint32_t)sizeof(*filter);
}

/* ---- TCP ---- */

/* What its state says of the two halves. */
static uint32_t state_flags(uint32_t state)
{
	switch (state) {
	case STATE_SYN_SENT:
		return INET_CONNECTING;
	case STATE_FIN_WAIT1:
	case STATE_FIN_WAIT2:
		return INET_STREAM | INET_SENT_END;
	case STATE_CLOSE_WAIT:
		return INET_STREAM | INET_GOT_END;
	case STATE_LAST_ACK:
	case STATE_CLOSING:
	case STATE_TIME_WAIT:
		return INET_STREAM | INET_SENT_END | INET_GOT_END;
	case STATE_CLOSE:
		return 0;
	default:
		return INET_STREAM;
	}
}

/* Closed: never used, at its end, or with an error that nobody has asked for
 * yet (asking would take it). */
static uint32_t closed_flags(int fd, const struct tcp_info *info)
{
	int events = inet_poll(fd);

	if ((events & POLLERR) && !info->tcpi_bytes_acked &&
	    !info->tcpi_bytes_received)
		return INET_UNANSWERED;
	if (events & POLLERR)
		return INET_STREAM | INET_RESET;
	return events & POLLRDHUP ? INET_STREAM | INET_OVER : 0;
}

/* For a listener the kernel puts its queue's limit into tcpi_sacked, how many
 * wait in it into tcpi_unacked. */
static void inet_state(int fd, struct inet_record *record)
{
	struct tcp_info info;

	__builtin_memset(&info, 0, sizeof(info));
	sockopt_get(fd, PROTOCOL_TCP, TCP_INFO, &info, sizeof(info));
	record->state = info.tcpi_state;
	record->flags &= INET_PEER_HERE | INET_WAITS | INET_STRANGE |
			 INET_PAIRED | INET_PEER_CLOSED;
	if (sockopt_int(fd, SOCKOPT_SOCKET, SOCKOPT_ACCEPTCONN) == 1) {
		record->flags |= INET_LISTENS;
		record->backlog = info.tcpi_sacked;
		record->waiting = info.tcpi_unacked;
		return;
	}
	record->flags |= state_flags(record->state);
	if (record->state == STATE_CLOSE)
		record->flags |= closed_flags(fd, &info);
	else if ((record->flags & INET_STREAM) &&
		 !(record->flags & INET_GOT_END) &&
		 (inet_poll(fd) & POLLRDHUP))
		record->flags |= INET_DEAF;
}

/* A connection that was given as a standard stream. */
static int inet_standard(const struct ckpt_fd *fd)
{
	size_t i;

	for (i = 0; i < ckpt_fd_count() && ckpt_fd_at(i)->fd <= 2; i++)
		if (ckpt_fd_at(i)->object == fd->object)
			return ckpt_fd_at(i)->fd;
	return -1;
}

static int inet_stream(const struct ckpt_fd *fd, struct inet_record *record)
{
	char name[16] = "";
	int ret = 0;

	sockopt_get(fd->fd, PROTOCOL_TCP, TCP_ULP, name, sizeof(name));
	if (sys_equal(name, "tls"))
		return inet_refuse(fd, -EOPNOTSUPP,
				   "TLS in the kernel cannot be saved");
	inet_state(fd->fd, record);
	if (record->flags & INET_CONNECTING)
		inet_called(fd, record);
	if (!(record->flags & INET_STREAM))
		return 0;
	record->standard = inet_standard(fd);
	if (record->peer_name.length) {
		ret = inet_meet(fd, record);
		if (ret < 0)
			return ret;
		inet_state(fd->fd, record); /* its end may have come, too */
	}
	if (ckpt_claim(fd->st.dev, fd->st.ino)) {
		record->flags |= INET_QUEUE;
		inet_measure(fd->fd, record);
	}
	return 0;
}

/* ---- saving ---- */

static void inet_look(const struct ckpt_fd *fd, struct inet_record *record)
{
	*record = (struct inet_record){
		.domain = sockopt_int(fd->fd, SOCKOPT_SOCKET, SOCKOPT_DOMAIN),
		.type = sockopt_int(fd->fd, SOCKOPT_SOCKET, SOCKOPT_TYPE),
		.standard = -1,
		.mark = INET_NO_MARK,
		.protocol = sockopt_int(fd->fd, SOCKOPT_SOCKET,
					SOCKOPT_PROTOCOL),
		.peek_offset = -1,
		.pacing = ~0ull,
	};

	sockopt_get(fd->fd, SOCKOPT_SOCKET, SOCKOPT_PEEK_OFF,
		    &record->peek_offset, sizeof(int32_t));
	inet_name(fd->fd, SYS_getsockname, &record->name);
	inet_name(fd->fd, SYS_getpeername, &record->peer_name);
	sockopt_save(fd->fd, &record->socket_options);
	inet_options(fd->fd, record);
	inet_throttle_hide(fd, record);
}

/* Of all connections, before any is waited for. */
static void inet_hurry_all(void)
{
	static struct inet_record record;
	size_t i;

	if (has_hurried)
		return;
	has_hurried = 1;
	for (i = 0; i < ckpt_fd_count(); i++) {
		int fd = ckpt_fd_at(i)->fd, value = 0;

		if (!inet_matches(ckpt_fd_at(i)) ||
		    sockopt_int(fd, SOCKOPT_SOCKET, SOCKOPT_PROTOCOL) !=
			    PROTOCOL_TCP)
			continue;
		sockopt_get(fd, PROTOCOL_TCP, TCP_CORK, &value, sizeof(value));
		record.options[INET_OPTION_TCP_CORK] = value;
		sockopt_get(fd, PROTOCOL_TCP, TCP_NODELAY, &value,
			    sizeof(value));
		record.options[INET_OPTION_TCP_NODELAY] = value;
		inet_hurry(fd, &record);
	}
}

static int inet_save(const struct ckpt_fd *fd, struct ckpt_record *out)
{
	static struct inet_record record;
	int ret = 0, has_datagrams;

	inet_hurry_all();
	inet_look(fd, &record);
	if (record.type == TYPE_STREAM)
		ret = inet_stream(fd, &record);
	else if (record.peer_name.length)
		record.flags |= INET_CONNECTED;
	if (record.type == TYPE_DATAGRAM && ckpt_has_others())
		record.flags |= INET_HOSTS;
	if (ret < 0)
		return ret;
	/* A look would take a waiting error. */
	has_datagrams = record.type != TYPE_STREAM &&
			!(inet_poll(fd->fd) & POLLERR) &&
			ckpt_claim(fd->st.dev, fd->st.ino);
	if (has_datagrams)
		record.flags |= INET_QUEUE;
	record.membership_length = inet_put_memberships(fd->fd, &record, NULL);
	record.filter_length = inet_filter(fd->fd, NULL);
	ckpt_put(out, &record, sizeof(record));
	inet_put_memberships(fd->fd, &record, out);
	inet_filter(fd->fd, out);
	if (has_datagrams)
		return inet_put_datagrams(fd->fd, &record, out);
	return inet_put_stream(fd, &record, out);
}

static void inet_leave(int ret)
{
	has_hurried = 0;
	inet_throttle_leave(ret);
}

static int inet_revive(void)
{
	has_hurried = 0;
	inet_throttle_forget();
	return 0;
}

const struct ckpt_saver inet_saver = {
	.kind = 74,
	.name = "inet",
	.matches = inet_matches,
	.save = inet_save,
	.leave = inet_leave,
	.revive = inet_revive,
};
