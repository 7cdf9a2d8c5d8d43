/* SPDX-License-Identifier: MIT */
/*
 * inet, saving: what waits to be read, looked at by MSG_PEEK piece by piece
 * (SO_PEEK_OFF; of TCP since Linux 6.9, all at once before). A look at a stream
 * ends at the urgent byte; while SO_OOBINLINE is set that byte is one of the
 * stream, so it is set meanwhile.
 */
#define _GNU_SOURCE
#include <asm/ioctls.h>
#include <errno.h>

#include "plugins/inet/save.h"
#include "plugins/sockopt_save.h"
#include "sys/sys.h"

#define OPTION_OOBINLINE 10

char inet_buffer[INET_BUFFER];

static long set_int(int fd, int option, int32_t value)
{
	return SYS_CALL(SYS_setsockopt, fd, SOCKOPT_SOCKET, option, &value,
			sizeof(value));
}

static void put_back_inline(int fd, const struct inet_record *record)
{
	set_int(fd, OPTION_OOBINLINE,
		record->socket_options.values[SOCKOPT_OOBINLINE]);
}

static uint32_t waiting(int fd)
{
	int count = 0;

	sys_ioctl(fd, FIONREAD, &count);
	return count > 0 ? (uint32_t)count : 0;
}

static long look(int fd, void *to, size_t length, int flags)
{
	return SYS_CALL(SYS_recvfrom, fd, to, length,
			MESSAGE_PEEK | MESSAGE_DONTWAIT | flags, NULL, NULL);
}

/* Not inline, the bytes up to the mark are told; inline, all of them. */
void inet_measure(int fd, struct inet_record *record)
{
	uint32_t before;
	char byte;

	record->mark = INET_NO_MARK;
	set_int(fd, OPTION_OOBINLINE, 0);
	before = waiting(fd);
	set_int(fd, OPTION_OOBINLINE, 1);
	record->unread = waiting(fd);
	if (before < record->unread) {
		record->mark = before;
		set_int(fd, OPTION_OOBINLINE, 0);
		if (look(fd, &byte, 1, MESSAGE_OOB) != 1)
			record->flags |= INET_URGENT_READ;
	}
	put_back_inline(fd, record);
}

static int put_at_once(int fd, const struct inet_record *record,
		       struct ckpt_record *out)
{
	void *data = ckpt_reserve(record->unread);
	long got;

	if (!data)
		return -ENOMEM;
	got = look(fd, data, record->unread, 0);
	if (got != (long)record->unread)
		return got < 0 ? (int)got : -EOPNOTSUPP;
	ckpt_put(out, data, record->unread);
	return 0;
}

static int put_pieces(int fd, const struct inet_record *record,
		      struct ckpt_record *out)
{
	uint32_t at = 0;
	long got;

	if (set_int(fd, SOCKOPT_PEEK_OFF, 0) < 0)
		return put_at_once(fd, record, out);
	/* Never beyond the end: there a waiting error would be taken. */
	while (at < record->unread) {
		uint32_t left = record->unread - at;

		set_int(fd, SOCKOPT_PEEK_OFF, (int32_t)at);
		got = look(fd, inet_buffer,
			   left < INET_BUFFER ? left : INET_BUFFER, 0);
		if (got <= 0)
			return got < 0 ? (int)got : -EIO;
		ckpt_put(out, inet_buffer, (size_t)got);
		at += (uint32_t)got;
	}
	return 0;
}

int inet_put_stream(const struct ckpt_fd *fd, const struct inet_record *record,
		    struct ckpt_record *out)
{
	int ret;

	if (!record->unread)
		return 0;
	set_int(fd->fd, OPTION_OOBINLINE, 1);
	ret = put_pieces(fd->fd, record, out);
	put_back_inline(fd->fd, record);
	set_int(fd->fd, SOCKOPT_PEEK_OFF, record->peek_offset);
	return ret < 0 ? inet_refuse(fd, ret,
				     "what waits in it cannot be looked at") :
			 0;
}

struct message {
	void *name;
	uint32_t name_length;
	struct {
		void *data;
		uint64_t length;
	} *vector;
	uint64_t vector_count;
	void *control;
	uint64_t control_length;
	uint32_t flags;
};

int inet_put_datagrams(int fd, const struct inet_record *record,
		       struct ckpt_record *out)
{
	unsigned char name[INET_NAME];
	struct { void *data; uint64_t length; } vector = {inet_buffer,
							  INET_BUFFER};
	struct inet_datagram head;
	long got;

	if (set_int(fd, SOCKOPT_PEEK_OFF, 0) < 0)
		return 0; /* of a kind that cannot be looked at */
	for (;;) {
		struct message message = {
			.name = name,
			.name_length = sizeof(name),
			.vector = (void *)&vector,
			.vector_count = 1,
		};

		got = SYS_CALL(SYS_recvmsg, fd, &message,
			       MESSAGE_PEEK | MESSAGE_DONTWAIT);
		if (got < 0)
			break;
		head.length = (uint32_t)got;
		head.name_length = message.name_length;
		if (head.name_length > sizeof(name))
			head.name_length = 0;
		ckpt_put(out, &head, sizeof(head));
		ckpt_put(out, name, head.name_length);
		ckpt_put(out, inet_buffer, head.length);
	}
	set_int(fd, SOCKOPT_PEEK_OFF, record->peek_offset);
	return 0;
}
