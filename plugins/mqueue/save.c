/* SPDX-License-Identifier: MIT */
/*
 * POSIX message queue, saving. Kept: name, attributes, owner, mode, messages
 * with their priorities and order. Not kept: a queue that no process has
 * open. Registrations by mq_notify() are handler/notices.c's.
 *
 * A message can only be read by taking it. So all are taken and put back in
 * the same order, while everybody who could look is parked; one process does
 * it. The queue is empty for a moment, and putting back the first message
 * would set off a notification: with one of somebody outside, a queue that is
 * not empty is refused.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <ckpt/plugin.h>

#include "plugins/mqueue/format.h"
#include "sys/string.h"
#include "sys/sys.h"

#define MQUEUE_MAGIC 0x19800202

static int mqueue_matches(const struct ckpt_fd *fd)
{
	struct statfs fs;

	return S_ISREG(fd->st.mode) && fd->target[0] == '/' &&
	       !sys_find(fd->target + 1, "/") &&
	       SYS_CALL(SYS_fstatfs, fd->fd, &fs) == 0 &&
	       fs.f_type == MQUEUE_MAGIC;
}

/* A number behind "NAME:" in the text that the queue's file shows. */
static uint64_t mqueue_number(const char *text, const char *name)
{
	const char *at = sys_find(text, name);

	if (!at)
		return 0;
	at += sys_strlen(name);
	return sys_number(&at, 10);
}

/* A description of our own, by which we may send and receive. */
static long mqueue_reopen(int fd)
{
	char path[48];
	struct sys_text t;

	sys_text_open(&t, path, sizeof(path));
	sys_text_put(&t, "/proc/thread-self/fd/");
	sys_text_number(&t, (uint64_t)fd, 10);
	return sys_openat(AT_FDCWD, path, O_RDWR | O_NONBLOCK | O_CLOEXEC, 0);
}

/* Takes all messages into the record's memory; returns its end. */
static char *mqueue_take(int fd, char *at, int64_t size, uint32_t count,
			 uint32_t *taken)
{
	long n;

	for (*taken = 0; *taken < count; (*taken)++) {
		struct mqueue_message *m = (void *)at;

		n = SYS_CALL(SYS_mq_timedreceive, fd, m + 1, size,
			     &m->priority, NULL);
		if (n < 0)
			break;
		m->length = (uint32_t)n;
		at += sizeof(*m) + ((m->length + 7ul) & ~7ul);
	}
	return at;
}

static long mqueue_put_back(int fd, const char *at, uint32_t count)
{
	long ret = 0;

	for (; count && ret >= 0; count--) {
		const struct mqueue_message *m = (const void *)at;

		ret = SYS_CALL(SYS_mq_timedsend, fd, m + 1, m->length,
			       m->priority, NULL);
		at += sizeof(*m) + ((m->length + 7ul) & ~7ul);
	}
	return ret;
}

static int mqueue_refuse(const struct ckpt_fd *fd, int error, const char *why)
{
	return ckpt_refuse(error, "message queue ", fd->target, " (mq_open) ",
			   why, NULL);
}

static int mqueue_messages(const struct ckpt_fd *fd,
			   struct mqueue_record *record, uint32_t count,
			   const char *text, char **start, char **end)
{
	uint64_t bytes = mqueue_number(text, "QSIZE:");
	long own;
	int ret = 0;

	if (record->notify)
		return mqueue_refuse(fd, -EBUSY,
				     "is not empty and has an mq_notify(): it "
				     "cannot be saved before it is read");
	*start = ckpt_reserve(bytes + (uint64_t)record->size +
			      (uint64_t)count * (sizeof(struct mqueue_message) + 8));
	if (!*start)
		return mqueue_refuse(fd, -EFBIG, "holds too much");
	own = mqueue_reopen(fd->fd);
	if (own < 0)
		return mqueue_refuse(fd, (int)own, "may not be read");
	*end = mqueue_take((int)own, *start, record->size, count,
			   &record->messages);
	if (mqueue_put_back((int)own, *start, record->messages) < 0)
		ret = mqueue_refuse(fd, -EIO, "does not take its messages back: "
				    "somebody outside writes to it");
	sys_close((int)own);
	return ret;
}

static int mqueue_save(const struct ckpt_fd *fd, struct ckpt_record *out)
{
	static const char deleted[] = " (deleted)";
	struct mqueue_record record = {
		.mode = fd->st.mode & 07777,
		.uid = fd->st.uid,
		.gid = fd->st.gid,
		.deleted = fd->st.nlink == 0,
	};
	size_t length = sys_strlen(fd->target);
	char text[128] = "", *start = NULL, *end = NULL;
	struct mq_attr attr;
	int ret = 0;
	long n, own;

	n = SYS_CALL(SYS_mq_getsetattr, fd->fd, NULL, &attr);
	if (n < 0)
		return (int)n;
	own = mqueue_reopen(fd->fd);
	if (own >= 0) {
		sys_pread((int)own, text, sizeof(text) - 1, 0);
		sys_close((int)own);
	}
	record.most = attr.mq_maxmsg;
	record.size = attr.mq_msgsize;
	record.notify = mqueue_number(text, "NOTIFY_PID:") != 0;
	if (ckpt_claim(fd->st.dev, fd->st.ino)) {
		record.full = 1;
		if (attr.mq_curmsgs)
			ret = mqueue_messages(fd, &record,
					      (uint32_t)attr.mq_curmsgs, text,
					      &start, &end);
		if (ret < 0)
			return ret;
	}
	if (record.deleted && length > sizeof(deleted) &&
	    sys_equal(fd->target + length - sizeof(deleted) + 1, deleted))
		length -= sizeof(deleted) - 1;
	record.name_length = (uint32_t)length;
	ckpt_put(out, &record, sizeof(record));
	ckpt_put(out, fd->target, length);
	ckpt_put(out, "\0\0\0\0\0\0\0", -length & 7);
	ckpt_put(out, start, (size_t)(end - start));
	return 0;
}

const struct ckpt_saver mqueue_saver = {
	.kind = 79,
	.name = "mqueue",
	.matches = mqueue_matches,
	.save = mqueue_save,
};
