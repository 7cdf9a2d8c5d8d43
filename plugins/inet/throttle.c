/* SPDX-License-Identifier: MIT */
/*
 * inet, saving: connections on which more is on its way than the queue of the
 * other end can be made to hold. The checkpoint fails then and is tried again;
 * meanwhile nothing has been put into or taken out of the stream, but who sends
 * has its kernel take less at a time (TCP_NOTSENT_LOWAT) until a checkpoint has
 * been made, and who receives begins again with a small queue, which grows as
 * ever where the reader is fast: so the reader catches up.
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
#define UNSENT (64 << 10)
#define UNREAD (64 << 10)

static struct {
	struct throttled {
		uint64_t ino;
		int32_t unsent_most; /* as the program has it */
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

void inet_throttle_hide(const struct ckpt_fd *fd, struct inet_record *record)
{
	const struct throttled *t = find(fd->st.ino);

	if (t)
		record->options[INET_OPTION_TCP_NOTSENT_LOWAT] = t->unsent_most;
}

void inet_throttle_reader(int fd, const struct inet_record *record)
{
	int32_t locks = record->socket_options.locks;

	/* What the program has set is small, and could not be set again. */
	if (locks < 0 || (locks & RECEIVE_LOCK))
		return;
	set_int(fd, SOCKOPT_SOCKET, SOCKOPT_RCVBUF, UNREAD);
	set_int(fd, SOCKOPT_SOCKET, SOCKOPT_BUF_LOCK, locks);
}

/* After a failure: what is unsent still is so because it has no room. */
static void throttle_writer(const struct ckpt_fd *fd)
{
	int unsent = 0, now = 0;

	if (throttle.count == THROTTLED_MAX || find(fd->st.ino) ||
	    sockopt_int(fd->fd, SOCKOPT_SOCKET, SOCKOPT_PROTOCOL) !=
		    PROTOCOL_TCP)
		return;
	sys_ioctl(fd->fd, SIOCOUTQNSD, &unsent);
	if (unsent <= UNSENT)
		return;
	sockopt_get(fd->fd, PROTOCOL_TCP, TCP_NOTSENT_LOWAT, &now, sizeof(now));
	throttle.of[throttle.count++] = (struct throttled){
		.ino = fd->st.ino,
		.unsent_most = now,
	};
	set_int(fd->fd, PROTOCOL_TCP, TCP_NOTSENT_LOWAT, UNSENT);
}

static void let_go(const struct ckpt_fd *fd)
{
	const struct throttled *t = find(fd->st.ino);

	if (t)
		set_int(fd->fd, PROTOCOL_TCP, TCP_NOTSENT_LOWAT,
			t->unsent_most);
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
