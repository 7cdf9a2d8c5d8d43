/* SPDX-License-Identifier: MIT */
/* epoll, restoring: entries are added when all descriptors stand. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <ckpt/plugin.h>

#include "plugins/epoll/format.h"

/* What the kernel leaves of the events of a one-shot entry that has fired. */
#define EPOLL_PRIVATE                                                          \
	((uint32_t)(EPOLLWAKEUP | EPOLLONESHOT | EPOLLET | EPOLLEXCLUSIVE))

static int epoll_open(struct ckpt_restore *r, const struct ckpt_object *object)
{
	int fd = epoll_create1(EPOLL_CLOEXEC);

	(void)r, (void)object;
	return fd < 0 ? -errno : fd;
}

static int epoll_fired(const struct epoll_entry *entry)
{
	return !(entry->events & ~EPOLL_PRIVATE);
}

/* Adding arms for errors and hang-ups whatever is asked. So a fired entry is
 * added for all, fires if it can at all, and if not it is left with those. It
 * must be alone in the set: do these first. */
static int epoll_add(int epfd, int number, const struct epoll_entry *entry)
{
	struct epoll_event event = {entry->events, {.u64 = entry->data}};
	struct epoll_event gone;

	if (!epoll_fired(entry))
		return epoll_ctl(epfd, EPOLL_CTL_ADD, number, &event);
	event.events |= EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP;
	if (epoll_ctl(epfd, EPOLL_CTL_ADD, number, &event) < 0)
		return -1;
	if (epoll_wait(epfd, &gone, 1, 0) == 1)
		return 0;
	event.events = entry->events;
	return epoll_ctl(epfd, EPOLL_CTL_MOD, number, &event);
}

/* The number of the entry leads elsewhere by now, or nowhere: lend it to the
 * description while it is added. What stands there keeps its flags. */
static int epoll_add_lent(int epfd, int fd, const struct epoll_entry *entry)
{
	int kept = fcntl(entry->fd, F_DUPFD_CLOEXEC, 0);
	int flags = kept < 0 ? 0 : fcntl(entry->fd, F_GETFD);
	int ret;

	if (dup3(fd, entry->fd, O_CLOEXEC) < 0)
		ret = -1;
	else
		ret = epoll_add(epfd, entry->fd, entry);
	if (kept < 0) {
		int error = errno;

		close(entry->fd);
		errno = error;
		return ret;
	}
	if (dup3(kept, entry->fd, flags & FD_CLOEXEC ? O_CLOEXEC : 0) < 0)
		ret = -1;
	close(kept);
	return ret;
}

static void epoll_enter(struct ckpt_restore *r, const struct ckpt_object *object,
			int epfd, const struct epoll_entry *entry)
{
	int fd = entry->object ? ckpt_object_fd(r, entry->object) : -1;
	int ret;

	if (fd < 0) {
		ckpt_report(r,
			    "%s: waited for fd %d, which is open in another "
			    "process only: it does so no more",
			    object->label, entry->fd);
		return;
	}
	if (fd == entry->fd || ckpt_old_fd(r, entry->fd) == fd)
		ret = epoll_add(epfd, fd, entry);
	else
		ret = epoll_add_lent(epfd, fd, entry);
	if (ret < 0)
		ckpt_report(r, "%s: cannot wait for fd %d any more: %m",
			    object->label, entry->fd);
}

static int epoll_connect(struct ckpt_restore *r,
			 const struct ckpt_object *object, int fd)
{
	const struct epoll_entry *entries = object->body;
	size_t count = object->length / sizeof(*entries), i;

	for (i = 0; i < count; i++)
		if (epoll_fired(&entries[i]))
			epoll_enter(r, object, fd, &entries[i]);
	for (i = 0; i < count; i++)
		if (!epoll_fired(&entries[i]))
			epoll_enter(r, object, fd, &entries[i]);
	return 0;
}

static void epoll_show(const struct ckpt_object *object, char *line, size_t size)
{
	snprintf(line, size, "%zu entries",
		 object->length / sizeof(struct epoll_entry));
}

const struct ckpt_restorer epoll_restorer = {
	.kind = 72,
	.name = "epoll",
	.open = epoll_open,
	.connect = epoll_connect,
	.show = epoll_show,
	.no_position = 1,
};
