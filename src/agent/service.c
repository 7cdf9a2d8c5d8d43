/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "agent/service.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/members.h"
#include "agent/now.h"
#include "agent/rebirth.h"
#include "agent/uplink.h"
#include "util/log.h"

#define FDS_MAX 4
#define BREATH_MS 50
#define KNOWN_MS 3000 /* guests wait no longer for a coordinator */
#define ROUND 64 /* who is let in before others get their turn */
#define HEAD offsetof(struct service_message, hello)

static struct loop_source listener, others;

int service_say_with(struct service *service, enum service_type type,
		     const void *body, size_t length, const int *fds,
		     unsigned count)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(FDS_MAX * sizeof(int))];
	} control = {0};
	struct service_message message = {0};
	struct iovec part = {.iov_base = &message, .iov_len = HEAD + length};
	struct msghdr packet = {.msg_iov = &part, .msg_iovlen = 1};

	message.type = type;
	message.length = (uint32_t)(HEAD + length);
	if (length)
		memcpy(&message.hello, body, length);
	if (count) {
		packet.msg_control = &control;
		packet.msg_controllen = CMSG_SPACE(count * sizeof(int));
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(count * sizeof(int));
		memcpy(CMSG_DATA(&control.head), fds, count * sizeof(int));
	}
	/* The few small packets of a checkpoint fit into any buffer. */
	if (sendmsg(service->source.fd, &packet, MSG_NOSIGNAL | MSG_DONTWAIT) <
	    0)
		return -errno;
	return 0;
}

int service_say(struct service *service, enum service_type type,
		const void *body, size_t length)
{
	return service_say_with(service, type, body, length, NULL, 0);
}

/* The first descriptor of a packet; any other is closed. */
static int fd_of(struct msghdr *packet)
{
	struct cmsghdr *head;
	int first = -1;

	for (head = CMSG_FIRSTHDR(packet); head;
	     head = CMSG_NXTHDR(packet, head)) {
		size_t count = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (head->cmsg_level != SOL_SOCKET ||
		    head->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(head) + i * sizeof(int),
			       sizeof(fd));
			if (first < 0)
				first = fd;
			else
				close(fd);
		}
	}
	return first;
}

/* 1: a message, 0: none now, -errno: it is lost. */
static int take(struct service *service, struct service_message *message,
		int *fd)
{
	char control[CMSG_SPACE(FDS_MAX * sizeof(int))];
	struct iovec part = {.iov_base = message, .iov_len = sizeof(*message)};
	struct msghdr packet = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control),
	};
	ssize_t got;

	*fd = -1;
	memset(message, 0, sizeof(*message));
	got = recvmsg(service->source.fd, &packet,
		      MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (got < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	*fd = fd_of(&packet);
	if (got == 0)
		return -ECONNRESET;
	if ((size_t)got < HEAD || message->length != (size_t)got ||
	    (packet.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
		log_line("process %d sent a malformed message", service->pid);
		if (*fd >= 0)
			close(*fd);
		return -EPROTO;
	}
	return 1;
}

/* One message: mostly there is no other, and the loop comes back for it. */
static void ready(struct loop_source *source, uint32_t events)
{
	struct service *service = container_of(source, struct service, source);
	struct service_message message;
	int ret, fd = -1;

	(void)events;
	if (service->closed)
		return;
	ret = take(service, &message, &fd);
	if (ret > 0)
		service->owner->message(service, &message, fd);
	if (ret < 0 && !service->closed) {
		service->owner->lost(service);
		service_close(service);
	}
}

static struct service *closed;

void service_close(struct service *service)
{
	if (!service || service->closed)
		return;
	service->closed = 1;
	loop_remove(&service->source);
	close(service->source.fd);
	service->next = closed;
	closed = service;
}

void service_bury(void)
{
	while (closed) {
		struct service *service = closed;

		closed = service->next;
		free(service);
	}
}

struct service *service_adopt(int fd, pid_t pid,
			      const struct service_owner *owner, void *data)
{
	struct service *service = calloc(1, sizeof(*service));

	if (!service) {
		close(fd);
		return NULL;
	}
	service->source.fd = fd;
	service->source.ready = ready;
	service->pid = pid;
	service->owner = owner;
	service->data = data;
	if (loop_add(&service->source, EPOLLIN) < 0) {
		close(fd);
		free(service);
		return NULL;
	}
	return service;
}

/* ---- guests, until the coordinator knows of us ---- */

static struct service *waiting;

void service_admit(void)
{
	while (waiting) {
		struct service *service = waiting;

		waiting = service->next;
		service_say(service, SERVICE_GUEST, NULL, 0);
		service_close(service);
	}
}

static void guest_message(struct service *service,
			  const struct service_message *message, int fd)
{
	(void)service, (void)message;
	if (fd >= 0)
		close(fd);
}

static void guest_lost(struct service *service)
{
	struct service **at = &waiting;

	while (*at != service)
		at = &(*at)->next;
	*at = service->next;
}

static const struct service_owner guests = {
	.message = guest_message,
	.lost = guest_lost,
};

static void admit_late(struct loop_timer *timer)
{
	(void)timer;
	service_admit();
}

static struct loop_timer patience = {.fire = admit_late};

static void guest_add(struct service *service)
{
	service->owner = &guests;
	service->next = waiting;
	waiting = service;
	if (uplink_is_known())
		service_admit();
	else
		loop_timer_set(&patience, KNOWN_MS);
}

/* ---- who has not said yet what it is ---- */

static void greeting(struct service *service,
		     const struct service_message *message, int fd)
{
	const struct service_hello *hello = &message->hello;

	if (fd >= 0)
		close(fd);
	if (hello->version != SERVICE_VERSION) {
		log_line("process %d speaks version %u, we speak %u",
			 service->pid, hello->version, SERVICE_VERSION);
		service_close(service);
		return;
	}
	switch (message->type) {
	case SERVICE_HELLO:
		part_hello(service, hello);
		break;
	case SERVICE_REBORN:
		rebirth_hello(service, hello);
		break;
	case SERVICE_GUEST:
		agent_await(hello->pid);
		guest_add(service);
		break;
	default:
		log_line("process %d began with message %u", service->pid,
			 message->type);
		service_close(service);
	}
}

static void silent(struct service *service)
{
	(void)service;
}

static const struct service_owner greeter = {
	.message = greeting,
	.lost = silent,
};

static void listen_again(struct loop_timer *timer)
{
	(void)timer;
	loop_modify(&listener, EPOLLIN);
	if (agent.others_fd >= 0)
		loop_modify(&others, EPOLLIN);
}

static struct loop_timer breath = {.fire = listen_again};

/* We ourselves, or one of root's processes that has become another user. */
static int is_ours(const struct ucred *who, int of_others)
{
	if (who->uid == geteuid())
		return 1;
	return of_others && who->pid > 0 && members_seek(who->pid) != NULL;
}

/* 1: somebody has come; who it was, if he may come in, is the greeter's. */
static int let_in(struct loop_source *source)
{
	struct ucred who;
	socklen_t length = sizeof(who);
	int fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0) {
		/* No descriptor is left, perhaps: it would be ready for ever */
		if (errno != EAGAIN && errno != ECONNABORTED) {
			log_line("accept: %s", strerror(errno));
			loop_modify(source, 0);
			loop_timer_set(&breath, BREATH_MS);
		}
		return 0;
	}
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &length) < 0 ||
	    !is_ours(&who, source == &others)) {
		log_line("a process of another user was turned away");
		close(fd);
		return 1;
	}
	service_adopt(fd, who.pid, &greeter, NULL);
	return 1;
}

static void welcome(struct loop_source *source, uint32_t events)
{
	int round = ROUND;

	(void)events;
	while (let_in(source) && --round > 0)
		;
}

int service_open(void)
{
	listener.fd = agent.listen_fd;
	listener.ready = welcome;
	others.fd = agent.others_fd;
	others.ready = welcome;
	if (others.fd >= 0 && loop_add(&others, EPOLLIN) < 0)
		return -errno;
	return loop_add(&listener, EPOLLIN);
}
