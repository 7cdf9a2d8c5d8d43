/* SPDX-License-Identifier: MIT */
/*
 * inet, saving: TCP, UDP and raw sockets of IPv4 and IPv6. Kept: family, type,
 * options, addresses, listening with its backlog, the peer a datagram socket
 * was connected to. Of a TCP connection only what has been received and not
 * read: the connection itself comes back as reset by its peer, as are those
 * that wait to be accepted. Not kept: datagrams not read yet (they may get
 * lost anywhere), multicast memberships, filters.
 */
#define _GNU_SOURCE
#include <asm/ioctls.h>
#include <errno.h>
#include <linux/stat.h>
#include <linux/tcp.h>

#include <ckpt/plugin.h>

#include "plugins/inet/format.h"
#include "plugins/sockopt_save.h"
#include "sys/sys.h"

#define FAMILY_INET 2
#define FAMILY_INET6 10
#define PROTOCOL_TCP 6
#define TYPE_STREAM 1
#define MESSAGE_PEEK 2
#define MESSAGE_DONTWAIT 0x40
#define STATE_CLOSE 7
#define STATE_LISTEN 10
#define INET_UNREAD_MAX (1u << 20)

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
			record->known |= 1u << i;
}

/* For a listener the kernel puts its queue's limit into tcpi_sacked. */
static void inet_tcp(int fd, struct inet_record *record)
{
	struct tcp_info info;

	__builtin_memset(&info, 0, sizeof(info));
	if (sockopt_get(fd, PROTOCOL_TCP, TCP_INFO, &info, sizeof(info)) < 0)
		return;
	record->state = info.tcpi_state;
	if (record->state == STATE_LISTEN) {
		record->flags |= INET_LISTENS;
		record->backlog = info.tcpi_sacked;
	} else if (record->state != STATE_CLOSE) {
		record->flags |= INET_LOST;
	}
}

/* A stream can be looked at from its start only: all at once. */
static int inet_peek(int fd, struct inet_record *record, void **data)
{
	int unread = 0;
	long got;

	*data = NULL;
	sys_ioctl(fd, FIONREAD, &unread);
	if (unread <= 0 || (uint32_t)unread > INET_UNREAD_MAX)
		return 0;
	*data = ckpt_reserve((size_t)unread);
	if (!*data)
		return -ENOMEM;
	got = SYS_CALL(SYS_recvfrom, fd, *data, unread,
		       MESSAGE_PEEK | MESSAGE_DONTWAIT, NULL, NULL);
	record->unread = got > 0 ? (uint32_t)got : 0;
	return 0;
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

static int inet_save(const struct ckpt_fd *fd, struct ckpt_record *out)
{
	struct inet_record record = {
		.domain = sockopt_int(fd->fd, SOCKOPT_SOCKET, SOCKOPT_DOMAIN),
		.type = sockopt_int(fd->fd, SOCKOPT_SOCKET, SOCKOPT_TYPE),
		.standard = -1,
		.protocol = sockopt_int(fd->fd, SOCKOPT_SOCKET,
					SOCKOPT_PROTOCOL),
	};
	void *unread = NULL;
	int ret = 0;

	inet_name(fd->fd, SYS_getsockname, &record.name);
	inet_name(fd->fd, SYS_getpeername, &record.peer_name);
	sockopt_save(fd->fd, &record.socket_options);
	inet_options(fd->fd, &record);
	if (record.type == TYPE_STREAM)
		inet_tcp(fd->fd, &record);
	else if (record.peer_name.length)
		record.flags |= INET_CONNECTED;
	if (record.flags & INET_LOST)
		record.standard = inet_standard(fd);
	if ((record.flags & INET_LOST) && record.standard < 0)
		ret = inet_peek(fd->fd, &record, &unread);
	ckpt_put(out, &record, sizeof(record));
	ckpt_put(out, unread, record.unread);
	return ret;
}

const struct ckpt_saver inet_saver = {
	.kind = 74,
	.name = "inet",
	.matches = inet_matches,
	.save = inet_save,
};
