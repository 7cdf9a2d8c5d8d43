/* SPDX-License-Identifier: MIT */
/*
 * POSIX message queue, restoring: in the capsule's own namespace, once for all
 * who have it open, filled by the record that has its messages; then each
 * description opens it for what it may.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <mqueue.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ckpt/plugin.h>

#include "plugins/mqueue/format.h"

struct mqueue_view {
	const struct mqueue_record *record;
	const char *messages, *end;
	char name[NAME_MAX + 2];
};

static int mqueue_view(const struct ckpt_object *object,
		       struct mqueue_view *view)
{
	const struct mqueue_record *record = object->body;
	size_t left = object->length, padded;

	if (left < sizeof(*record))
		return -EBADMSG;
	left -= sizeof(*record);
	padded = (record->name_length + 7ul) & ~7ul;
	if (padded > left || record->name_length >= sizeof(view->name))
		return -EBADMSG;
	view->record = record;
	memcpy(view->name, record + 1, record->name_length);
	view->name[record->name_length] = 0;
	view->messages = (const char *)(record + 1) + padded;
	view->end = view->messages + (left - padded);
	return 0;
}

static void mqueue_bonds(const struct ckpt_object *object,
			 struct ckpt_bonds *bonds)
{
	ckpt_bond(bonds, object->dev << 40 ^ object->ino);
}

static void mqueue_raise(const char *path, long long least)
{
	long long now = least;
	FILE *f = fopen(path, "r+e");

	if (!f)
		return;
	if (fscanf(f, "%lld", &now) == 1 && now < least) {
		rewind(f);
		fprintf(f, "%lld", least);
	}
	fclose(f);
}

static int mqueue_send_all(int queue, const struct mqueue_view *view)
{
	const char *at = view->messages;
	const struct mqueue_message *m;
	uint32_t i;

	for (i = 0; i < view->record->messages; i++) {
		m = (const void *)at;
		if ((size_t)(view->end - at) < sizeof(*m) ||
		    (size_t)(view->end - at) - sizeof(*m) < m->length)
			return -EBADMSG;
		if (mq_send(queue, (const char *)(m + 1), m->length,
			    m->priority) < 0)
			return -errno;
		at += sizeof(*m) + ((m->length + 7ul) & ~7ul);
	}
	return 0;
}

/* By whichever record of it has its messages. */
static int mqueue_fill(struct ckpt_restore *r, const struct ckpt_object *object,
		       int queue)
{
	const struct ckpt_object *one = NULL, *record;
	struct mqueue_view view;
	size_t i;
	int ret;

	while ((one = ckpt_object_by_inode(r, object->kind, object->ino, one)))
		for (i = 0; (record = ckpt_object_record(r, one, i)); i++) {
			ret = mqueue_view(record, &view);
			if (ret < 0)
				return ret;
			if (one->dev == object->dev && view.record->full)
				return mqueue_send_all(queue, &view);
		}
	return -EBADMSG;
}

static int mqueue_make(struct ckpt_restore *r, const struct ckpt_object *object,
		       const struct mqueue_view *view)
{
	const struct mqueue_record *record = view->record;
	struct mq_attr attr = {
		.mq_maxmsg = (long)record->most,
		.mq_msgsize = (long)record->size,
	};
	int queue, ret;

	mqueue_raise("/proc/sys/fs/mqueue/msg_max", record->most);
	mqueue_raise("/proc/sys/fs/mqueue/msgsize_max", record->size);
	queue = mq_open(view->name, O_CREAT | O_EXCL | O_RDWR | O_NONBLOCK,
			0600, &attr);
	if (queue < 0) {
		ret = -errno;
		ckpt_report(r, "%s: message queue %s cannot be made: %m%s",
			    object->label, view->name,
			    errno == EEXIST ? "; remove it (it stands under "
					      "/dev/mqueue)" : "");
		return ret;
	}
	if (record->deleted)
		mq_unlink(view->name);
	if (record->notify)
		ckpt_report(r, "message queue %s: nobody will be notified of "
			       "its next message (mq_notify)", view->name);
	ret = mqueue_fill(r, object, queue);
	if (ret < 0) {
		close(queue);
		return ret;
	}
	return queue;
}

/* Of another description of the same queue. */
static int mqueue_made(struct ckpt_restore *r, const struct ckpt_object *object)
{
	const struct ckpt_object *one = NULL;
	int fd;

	while ((one = ckpt_object_by_inode(r, object->kind, object->ino, one))) {
		fd = one->dev == object->dev ? ckpt_object_fd(r, one->id) : -1;
		if (fd >= 0)
			return fd;
	}
	return -1;
}

static int mqueue_open(struct ckpt_restore *r, const struct ckpt_object *object)
{
	int flags = (int)object->status_flags & (O_ACCMODE | O_NONBLOCK);
	int made = mqueue_made(r, object), queue = made, fd;
	struct mqueue_view view;
	int ret = mqueue_view(object, &view);
	char path[48];

	if (ret < 0)
		return ret;
	if (queue < 0)
		queue = mqueue_make(r, object, &view);
	if (queue < 0)
		return queue;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", queue);
	fd = open(path, flags | O_CLOEXEC);
	if (fd < 0)
		fd = -errno;
	if (made < 0)
		close(queue);
	return fd;
}

static int mqueue_connect(struct ckpt_restore *r,
			  const struct ckpt_object *object, int fd)
{
	struct mqueue_view view;
	struct stat st;
	int ret = mqueue_view(object, &view);

	if (ret < 0 || fstat(fd, &st) < 0)
		return ret;
	if ((st.st_uid != view.record->uid || st.st_gid != view.record->gid) &&
	    fchown(fd, view.record->uid, view.record->gid) < 0)
		ckpt_report(r, "message queue %s now belongs to you",
			    view.name);
	fchmod(fd, view.record->mode);
	return 0;
}

static void mqueue_show(const struct ckpt_object *object, char *line,
			size_t size)
{
	struct mqueue_view view;

	if (mqueue_view(object, &view) < 0)
		return;
	snprintf(line, size, "%s%s, %lld messages of %lld bytes at most",
		 view.name, view.record->deleted ? " (deleted)" : "",
		 (long long)view.record->most, (long long)view.record->size);
	if (view.record->full)
		snprintf(line + strlen(line), size - strlen(line),
			 ", %u in it", view.record->messages);
}

const struct ckpt_restorer mqueue_restorer = {
	.kind = 79,
	.name = "mqueue",
	.bonds = mqueue_bonds,
	.open = mqueue_open,
	.connect = mqueue_connect,
	.show = mqueue_show,
	.no_position = 1,
};
