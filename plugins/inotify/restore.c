/* SPDX-License-Identifier: MIT */
/* inotify, restoring: watches get their numbers, which only count up. */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <ckpt/plugin.h>

#include "plugins/inotify/format.h"

#define INOTIFY_SEARCH 1000000
/* What inotify_add_watch() takes of the kernel's mask. */
#define INOTIFY_MASK                                                           \
	(IN_ALL_EVENTS | IN_EXCL_UNLINK | IN_ONESHOT | IN_ONLYDIR)

/* Where a number is taken for a moment while counting up to it: a folder
 * that nobody else watches through this descriptor. */
static int inotify_count_to(int fd, int wanted)
{
	int tries;

	for (tries = 0; tries < INOTIFY_SEARCH; tries++) {
		int wd = inotify_add_watch(fd, "/proc/self", IN_DELETE_SELF);

		if (wd < 0)
			return -errno;
		inotify_rm_watch(fd, wd);
		if (wd + 1 >= wanted)
			return 0;
	}
	return -ERANGE;
}

/* Each number given up leaves an IN_IGNORED behind. */
static void inotify_drain(int fd)
{
	char events[4096];
	int flags = 0;

	while (ioctl(fd, FIONREAD, &flags) == 0 && flags > 0 &&
	       read(fd, events, sizeof(events)) > 0)
		;
}

static int inotify_add(struct ckpt_restore *r, const struct ckpt_object *object,
		       int fd, const struct inotify_watch *watch,
		       const char *path, int *last)
{
	int wd, ret = 0;

	if (watch->wd > *last + 1)
		ret = inotify_count_to(fd, watch->wd);
	if (ret < 0)
		return ret;
	wd = inotify_add_watch(fd, path, watch->mask & INOTIFY_MASK);
	if (wd < 0) {
		ckpt_report(r, "%s: cannot watch %s any more: %m",
			    object->label, path);
		return 0;
	}
	*last = wd;
	if (wd != watch->wd) {
		ckpt_report(r, "%s: the watch of %s has number %d instead of %d",
			    object->label, path, wd, watch->wd);
	}
	return 0;
}

/* fdinfo lists the newest first. */
static const struct inotify_watch *
inotify_next(const struct ckpt_object *object, int above,
	     struct inotify_watch *found, char path[PATH_MAX])
{
	const char *at = (const char *)object->body +
			 sizeof(struct inotify_record);
	const char *end = (const char *)object->body + object->length;
	const struct inotify_watch *best = NULL;
	struct inotify_watch watch;

	while ((size_t)(end - at) >= sizeof(watch)) {
		memcpy(&watch, at, sizeof(watch));
		at += sizeof(watch);
		if (watch.path_length > (size_t)(end - at) ||
		    watch.path_length >= PATH_MAX)
			break;
		if (watch.wd > above && (!best || watch.wd < found->wd)) {
			*found = watch;
			memcpy(path, at, watch.path_length);
			path[watch.path_length] = 0;
			best = found;
		}
		at += watch.path_length;
	}
	return best;
}

static int inotify_open(struct ckpt_restore *r, const struct ckpt_object *object)
{
	const struct inotify_record *record = object->body;
	struct inotify_watch watch;
	char path[PATH_MAX];
	int fd, last = 0, above = 0, ret = 0;

	if (object->length < sizeof(*record))
		return -EBADMSG;
	fd = inotify_init1(IN_CLOEXEC);
	if (fd < 0)
		return -errno;
	while (ret == 0 && inotify_next(object, above, &watch, path)) {
		above = watch.wd;
		ret = inotify_add(r, object, fd, &watch, path, &last);
	}
	inotify_drain(fd);
	if (record->unread)
		ckpt_report(r, "%s: events that it had not read yet are gone",
			    object->label);
	if (ret == 0)
		return fd;
	close(fd);
	return ret;
}

static void inotify_show(const struct ckpt_object *object, char *line,
			 size_t size)
{
	const struct inotify_record *record = object->body;

	if (object->length >= sizeof(*record))
		snprintf(line, size, "%u watches, %u bytes of events",
			 record->count, record->unread);
}

const struct ckpt_restorer inotify_restorer = {
	.kind = 76,
	.name = "inotify",
	.open = inotify_open,
	.show = inotify_show,
	.no_position = 1,
};
