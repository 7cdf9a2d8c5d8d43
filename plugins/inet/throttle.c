/* SPDX-License-Identifier: MIT */
/*
 * inet, saving: connections on which more is on its way than the queue of the
 * other end can be made to hold. The checkpoint fails then and is tried again;
 * meanwhile nothing has been put into or taken out of the stream, but who sends
 * has its kernel take less at a time (TCP_NOTSENT_LOWAT), and who receives has
 * its queue stay small, so that the reader catches up. When a checkpoint has
 * been made, both are again as the program has them.
 */
#define _GNU_SOURCE
#include <asm/ioctls.h>
#include <linux/sockios.h>
#include <linux/stat.h>
#include <linux/tcp.h>

#include "plugins/inet/save.h"
#include "plugins/sockopt_save.h"
#include "sys/sys.h"

#define THROTTLED_MAX 256
#define RECEIVE_LOCK 2 /* of SO_BUF_LOCK */
#define OPTION_RCVLOWAT 18
#define UNSENT (64 << 10)
#define UNREAD (64 << 10)

static struct {
	struct throttled {
		uint64_t ino;
		int32_t sends, receives;
		/* As the program has them. */
		int32_t unsent_most, receive_buffer, receive_least, locks;
	} of[THROTTLED_MAX];
	uint32_t count;
} throttle;

static void set_int(int fd, int level, int option, int32_t value)
{
	SYS_CALL(SYS_setsockopt, fd, level, option, &value, sizeof(value));
}

static struct throttled *find(uint64_t ino)
{
	uint32_t i;

	for (i = 0; i < throttle.count; i++)
		if (throttle.of[i].ino == ino)
			return &throttle.of[i];
	return NULL;
}

static struct throttled *entry_of(uint64_t ino)
{
	struct throttled *t = find(ino);

	if (t || throttle.count == THROTTLED_MAX)
		return t;
	t = &throttle.of[throttle.count++];
	*t = (struct throttled){.ino = ino};
	return t;
}

void inet_throttle_hide(const struct ckpt_fd *fd, struct inet_record *record)
{
	const struct throttled *t = find(fd->st.ino);

	if (t && t->sends)
		record->options[INET_OPTION_TCP_NOTSENT_LOWAT] = t->unsent_most;
	if (t && t->receives) {
		record->socket_options.receive_buffer = t->receive_buffer;
		record->socket_options.locks = t->locks;
	}
}

void inet_throttle_reader(const struct ckpt_fd *fd,
			  const struct inet_record *record)
{
	const struct sockopt_record *options = &record->socket_options;
	struct throttled *t;

	/* What the program has set is small, and could not be set again. */
	if (options->locks < 0 || (options->locks & RECEIVE_LOCK))
		return;
	t = entry_of(fd->st.ino);
	if (!t)
		return;
	t->receives = 1;
	t->receive_buffer = options->receive_buffer;
	t->receive_least = options->values[SOCKOPT_RCVLOWAT];
	t->locks = options->locks;
	set_int(fd->fd, SOCKOPT_SOCKET, SOCKOPT_RCVBUF, UNREAD);
}

/* After a failure: what is unsent still is so because it has no room. */
static void throttle_writer(const struct ckpt_fd *fd)
{
	int unsent = 0, now = 0;
	struct throttled *t;

	if (sockopt_int(fd->fd, SOCKOPT_SOCKET, SOCKOPT_PROTOCOL) !=
	    PROTOCOL_TCP)
		return;
	sys_ioctl(fd->fd, SIOCOUTQNSD, &unsent);
	if (unsent <= UNSENT)
		return;
	t = entry_of(fd->st.ino);
	if (!t || t->sends)
		return;
	sockopt_get(fd->fd, PROTOCOL_TCP, TCP_NOTSENT_LOWAT, &now, sizeof(now));
	t->sends = 1;
	t->unsent_most = now;
	set_int(fd->fd, PROTOCOL_TCP, TCP_NOTSENT_LOWAT, UNSENT);
}

static void let_go(const struct ckpt_fd *fd)
{
	const struct throttled *t = find(fd->st.ino);

	if (t && t->sends)
		set_int(fd->fd, PROTOCOL_TCP, TCP_NOTSENT_LOWAT,
			t->unsent_most);
	if (!t || !t->receives)
		return;
	set_int(fd->fd, SOCKOPT_SOCKET, SOCKOPT_BUF_LOCK, t->locks);
	/* It was the kernel that had made it wide: so it does now. */
	set_int(fd->fd, SOCKOPT_SOCKET, OPTION_RCVLOWAT, t->receive_buffer / 2);
	set_int(fd->fd, SOCKOPT_SOCKET, OPTION_RCVLOWAT, t->receive_least);
}

void inet_throttle_leave(int ret)
{
	size_t i;

	if (ret == 0 && !throttle.count)
		return;
	for (i = 0; i < ckpt_fd_count(); i++) {
		const struct ckpt_fd *fd = ckpt_fd_at(i);

		if ((fd->st.mode & S_IFMT) != S_IFSOCK)
			continue;
		if (ret == 0)
			let_go(fd);
		else
			throttle_writer(fd);
	}
	if (ret == 0)
		throttle.count = 0;
}

void inet_throttle_forget(void)
{
	throttle.count = 0;
}
