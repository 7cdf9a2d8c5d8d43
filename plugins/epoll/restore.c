/* SPDX-License-Identifier: MIT */
/*
 * epoll, restoring: entries are added when all descriptors stand. Of an epoll
 * that several processes have, each has told which of them it has, too: what
 * is in the commons is added there, the rest by the first who has it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <ckpt/plugin.h>

#include "plugins/epoll/format.h"

#define SIGNALFD_KIND 71

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
			int epfd, const struct epoll_entry *entry, int fd)
{
	int ret;

	if (fd == entry->fd || ckpt_old_fd(r, entry->fd) == fd)
		ret = epoll_add(epfd, fd, entry);
	else
		ret = epoll_add_lent(epfd, fd, entry);
	if (ret < 0)
		ckpt_report(r, "%s: cannot wait for fd %d any more: %m",
			    object->label, entry->fd);
}

/* The nth entry as the first process tells it that has what is waited for;
 * its pid, or 0. Here: what is that here, or NULL. */
static int epoll_owner(struct ckpt_restore *r, const struct ckpt_object *object,
		       size_t nth, const struct ckpt_object **here)
{
	const struct ckpt_object *record;
	size_t i;

	*here = NULL;
	for (i = 0; (record = ckpt_object_record(r, object, i)); i++) {
		const struct epoll_entry *entries = record->body;
		int pid = record->pid;

		if (nth >= record->length / sizeof(*entries) ||
		    !entries[nth].object)
			continue;
		*here = ckpt_object_named(r, record, entries[nth].object);
		return pid;
	}
	return 0;
}

/* It tells of the signals of whoever adds it, which cannot be init. */
static int epoll_is_personal(const struct ckpt_object *other)
{
	return other->kind == SIGNALFD_KIND;
}

/* What stands at one place with the epoll. */
static void epoll_enter_here(struct ckpt_restore *r,
			     const struct ckpt_object *object, int epfd,
			     const struct epoll_entry *entry, size_t nth)
{
	const struct ckpt_object *other;
	int fd;

	if (!epoll_owner(r, object, nth, &other)) {
		ckpt_report(r,
			    "%s: waited for fd %d, which is open in no process "
			    "that has it: it does so no more",
			    object->label, entry->fd);
		return;
	}
	if (other && object->holders > 1 && epoll_is_personal(other))
		return;
	fd = other ? ckpt_object_fd(r, other->id) : -1;
	if (fd >= 0)
		epoll_enter(r, object, epfd, entry, fd);
}

/* Of one in the commons: what only a process has. The descriptors stand where
 * they stood. */
static void epoll_enter_own(struct ckpt_restore *r,
			    const struct ckpt_object *object, int epfd,
			    const struct epoll_entry *entry, size_t nth)
{
	const struct ckpt_object *other, *mine =
		ckpt_object_named(r, object, entry->object);

	if (mine &&
	    (!ckpt_object_is_common(r, mine->id) || epoll_is_personal(mine)) &&
	    epoll_owner(r, object, nth, &other) == object->pid)
		epoll_enter(r, object, epfd, entry, ckpt_object_fd(r, mine->id));
}

/* Those that have fired first. */
static void epoll_enter_all(struct ckpt_restore *r,
			    const struct ckpt_object *object, int epfd,
			    void (*enter)(struct ckpt_restore *,
					  const struct ckpt_object *, int,
					  const struct epoll_entry *, size_t))
{
	const struct epoll_entry *entries = object->body;
	size_t count = object->length / sizeof(*entries), i;
	int fired;

	for (fired = 1; fired >= 0; fired--)
		for (i = 0; i < count; i++)
			if (epoll_fired(&entries[i]) == fired)
				enter(r, object, epfd, &entries[i], i);
}

static int epoll_connect(struct ckpt_restore *r,
			 const struct ckpt_object *object, int fd)
{
	epoll_enter_all(r, object, fd, epoll_enter_here);
	return 0;
}

static int epoll_hold(struct ckpt_restore *r, const struct ckpt_object *object,
		      int fd)
{
	if (ckpt_object_is_common(r, object->id))
		epoll_enter_all(r, object, fd, epoll_enter_own);
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
	.hold = epoll_hold,
	.show = epoll_show,
	.no_position = 1,
};
