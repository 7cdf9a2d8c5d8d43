/* SPDX-License-Identifier: MIT */
/* Messages with the agent, and descriptors with them: wire/service.h. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "preload/frozen/frozen.h"

#define CROWDED_NS 5000000000ull
#define STOPPED_MS 2000 /* twice so long the agent may be stopped */

static int lost(long ret)
{
	return frozen_fail(ret ? (int)ret : -EPIPE, "the agent has gone", NULL);
}

static void close_all(int *fds, int count)
{
	while (count-- > 0)
		sys_close(fds[count]);
}

/* BEGIN brings two, and more are opened for a moment. Where the program has
 * taken all numbers there are, some of our copies go: fds_catch_up() fetches
 * them again. */
static void make_room(int fd)
{
	int spare[4], count = 0;

	while (count < 4 &&
	       (spare[count] = (int)sys_fcntl(fd, F_DUPFD_CLOEXEC, 0)) >= 0)
		count++;
	if (count < 4)
		SYS_CALL(SYS_close_range, 0, 7 < fd ? 7 : fd - 1, 0);
	close_all(spare, count);
}

static long open_socket(void)
{
	long fd = SYS_CALL(SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC,
			   0);

	if (fd == -EMFILE) {
		SYS_CALL(SYS_close_range, 0, 7, 0);
		fd = SYS_CALL(SYS_socket, AF_UNIX,
			      SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	} else if (fd > 0) {
		make_room((int)fd);
	}
	return fd;
}

static long call(int fd, const struct sockaddr_un *address, size_t length)
{
	long ret;

	do {
		ret = SYS_CALL(SYS_connect, fd, address, length);
	} while (ret == -EINTR);
	return ret;
}

/* We were root's and are somebody else by now, who cannot enter the folder.
 * The name may have been taken by anybody since, so it must be root's. */
static long call_as_other_user(int fd)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const char *name = preload.registry ? preload.registry->other_users :
					      "";
	struct ucred who = {.uid = ~0u};
	unsigned length = sizeof(who), i;
	long ret;

	for (i = 0; i < sizeof(preload.registry->other_users) && name[i]; i++)
		address.sun_path[1 + i] = name[i];
	if (i == 0)
		return -EACCES;
	ret = call(fd, &address,
		   offsetof(struct sockaddr_un, sun_path) + 1 + i);
	if (ret == 0)
		ret = SYS_CALL(SYS_getsockopt, fd, SOL_SOCKET, SO_PEERCRED,
			       &who, &length);
	return ret == 0 && who.uid != 0 ? -EACCES : ret;
}

int link_connect(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct sys_text path;
	long fd, ret;

	sys_text_open(&path, address.sun_path, sizeof(address.sun_path));
	sys_text_put(&path, preload.runtime_dir);
	sys_text_put(&path, "/" SERVICE_SOCKET);
	if (path.error)
		return frozen_fail(path.error, preload.runtime_dir,
				   ": too long for a socket", NULL);
	fd = open_socket();
	if (fd < 0)
		return frozen_fail((int)fd, "socket: ",
				   frozen_strerror((int)fd), NULL);
	ret = call((int)fd, &address, sizeof(address));
	if (ret == -EACCES)
		ret = call_as_other_user((int)fd);
	if (ret < 0) {
		sys_close((int)fd);
		return frozen_fail((int)ret, address.sun_path, ": ",
				   frozen_strerror((int)ret), NULL);
	}
	frozen.agent = (int)fd;
	return 0;
}

int link_send(int socket, struct service_message *m, uint32_t type,
	      uint32_t body, int fd)
{
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec iov = {.iov_base = m};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
	uint64_t until = sys_clock_ns(CLOCK_MONOTONIC) + CROWDED_NS;
	long ret;

	m->type = type;
	m->length = (uint32_t)offsetof(struct service_message, hello) + body;
	iov.iov_len = m->length;
	if (fd >= 0) {
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
		control.head.cmsg_len = CMSG_LEN(sizeof(int));
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		__builtin_memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
	}
	/* The user has too many descriptors on their way (ETOOMANYREFS): the
	 * agent takes them, but nobody is told when. */
	do {
		ret = SYS_CALL(SYS_sendmsg, socket, &message, MSG_NOSIGNAL);
		if (ret == -ETOOMANYREFS)
			SYS_CALL(SYS_sched_yield);
	} while (ret == -EINTR || (ret == -ETOOMANYREFS &&
				   sys_clock_ns(CLOCK_MONOTONIC) < until));
	return ret < 0 ? (int)ret : 0;
}

/* BEGIN brings the image's descriptor and the writer's socket. */
static int take_descriptors(struct msghdr *message)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(message);
	int fds[2], count;

	if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
		return 0;
	count = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
	if (count > 2)
		count = 2; /* the buffer holds no more */
	__builtin_memcpy(fds, CMSG_DATA(c), (size_t)count * sizeof(int));
	if (count != 2 || frozen.image >= 0) {
		close_all(fds, count);
		return 0;
	}
	frozen.image = fds[0];
	frozen.socket = fds[1];
	return 0;
}

/* By a signal or a debugger, as /proc tells it. */
static int agent_is_stopped(void)
{
	char path[32], text[128];
	struct sys_text t;
	long fd, length;
	int at, stopped = 0;

	if (!preload.registry)
		return 0;
	sys_text_open(&t, path, sizeof(path));
	sys_text_put(&t, "/proc/");
	sys_text_number(&t, __atomic_load_n(&preload.registry->agent,
					     __ATOMIC_ACQUIRE), 10);
	sys_text_put(&t, "/stat");
	fd = sys_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return 0;
	length = sys_read((int)fd, text, sizeof(text));
	sys_close((int)fd);
	for (at = 0; at + 2 < length; at++)
		if (text[at] == ')')
			stopped = text[at + 2] == 'T' || text[at + 2] == 't';
	return stopped;
}

/* Until it says something. The program waits with us: not for an agent that
 * somebody has stopped. */
static int await_agent(void)
{
	struct pollfd agent = {.fd = frozen.agent, .events = POLLIN};
	int stopped = 0;
	long ret;

	for (;;) {
		ret = SYS_CALL(SYS_poll, &agent, 1, STOPPED_MS);
		if (ret != 0 && ret != -EINTR)
			return ret < 0 ? (int)ret : 0;
		if (ret == 0)
			stopped = agent_is_stopped() ? stopped + 1 : 0;
		if (stopped > 1)
			return -ETIMEDOUT;
	}
}

int link_expect(uint32_t type, struct service_message *m)
{
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(2 * sizeof(int))];
	} control;
	struct iovec iov = {.iov_base = m, .iov_len = sizeof(*m)};
	struct msghdr message = {.msg_iov = &iov,
				 .msg_iovlen = 1,
				 .msg_control = &control,
				 .msg_controllen = sizeof(control)};
	long ret;

	*m = (struct service_message){0};
	ret = await_agent();
	if (ret == -ETIMEDOUT)
		return frozen_fail(-ETIMEDOUT, "the agent is stopped", NULL);
	do {
		ret = SYS_CALL(SYS_recvmsg, frozen.agent, &message,
			       MSG_CMSG_CLOEXEC);
	} while (ret == -EINTR);
	if (ret <= 0)
		return lost(ret);
	take_descriptors(&message);
	if ((size_t)ret < offsetof(struct service_message, hello) ||
	    m->length != (uint32_t)ret)
		return frozen_fail(-EPROTO, "the agent says what we do not "
					    "understand", NULL);
	if (m->type == SERVICE_ABORT)
		return frozen_fail(-ECANCELED, "called off", NULL);
	if (m->type != type)
		return frozen_fail(-EPROTO, "the agent says ", NUMBER(m->type),
				   " where ", NUMBER(type), " was expected",
				   NULL);
	return 0;
}
