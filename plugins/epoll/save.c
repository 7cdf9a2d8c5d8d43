/* SPDX-License-Identifier: MIT */
/*
 * epoll, saving. Kept: every entry with its events and data, also of numbers
 * that have been closed or reused while the description lives on, and whether
 * a one-shot entry has fired. The order of the ready list is not kept, and an
 * edge-triggered entry that is ready fires once more.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/kcmp.h>

#include <ckpt/plugin.h>

#include "plugins/epoll/format.h"
#include "plugins/fdinfo.h"
#include "sys/sys.h"

static int epoll_matches(const struct ckpt_fd *fd)
{
	return sys_equal(fd->target, "anon_inode:[eventpoll]");
}

/* Is the file behind `fd` that of the nth entry for number `tfd`? -errno where
 * kcmp() is missing. */
static int epoll_same(int fd, int epfd, int tfd, uint32_t nth)
{
	struct kcmp_epoll_slot slot = {
		.efd = (uint32_t)epfd, .tfd = (uint32_t)tfd, .toff = nth,
	};
	int tid = sys_gettid();
	long ret = ckpt_masked("kcmp") ?
			   -ENOSYS :
			   SYS_CALL(SYS_kcmp, tid, tid, KCMP_EPOLL_TFD, fd,
				    &slot);

	return ret < 0 ? (int)ret : ret == 0;
}

static uint32_t epoll_object(int epfd, int tfd, uint32_t nth, uint64_t ino)
{
	const struct ckpt_fd *numbered = ckpt_fd_numbered(tfd);
	size_t i;

	if (numbered && numbered->st.ino == ino) {
		int same = epoll_same(tfd, epfd, tfd, nth);

		/* No kcmp(): the same number and inode must do. */
		if (same)
			return numbered->object;
	}
	for (i = 0; i < ckpt_fd_count(); i++) {
		const struct ckpt_fd *fd = ckpt_fd_at(i);

		if (fd->st.ino == ino && fd != numbered &&
		    epoll_same(fd->fd, epfd, tfd, nth) == 1)
			return fd->object;
	}
	return 0;
}

/* How many entries of that number stand before it: they are sorted by the
 * description first. */
#define COUNTED 65536
static uint16_t epoll_met[COUNTED];

static uint32_t epoll_nth(const char *text, const char *at, int tfd)
{
	uint32_t nth = 0;

	if (tfd >= 0 && tfd < COUNTED)
		return epoll_met[tfd]++;
	while ((text = fdinfo_find(text, "tfd")) != NULL && text < at)
		nth += (int)sys_number(&text, 10) == tfd;
	return nth;
}

static int epoll_save(const struct ckpt_fd *fd, struct ckpt_record *out)
{
	const char *at = fd->fdinfo;

	__builtin_memset(epoll_met, 0, sizeof(epoll_met));
	/* "tfd: N events: X data: X pos:N ino:X sdev:X" */
	while ((at = fdinfo_find(at, "tfd")) != NULL) {
		const char *line = at, *field;
		struct epoll_entry entry = {.fd = (int)sys_number(&at, 10)};
		uint32_t nth = epoll_nth(fd->fdinfo, line, entry.fd);
		uint64_t ino;

		field = sys_find(at, "events:");
		if (!field)
			break;
		at = fdinfo_blanks(field + 7);
		entry.events = (uint32_t)sys_number(&at, 16);
		field = sys_find(at, "data:");
		if (!field)
			break;
		at = fdinfo_blanks(field + 5);
		entry.data = sys_number(&at, 16);
		field = sys_find(at, "ino:");
		if (!field)
			break;
		at = field + 4;
		ino = sys_number(&at, 16);
		entry.object = epoll_object(fd->fd, entry.fd, nth, ino);
		ckpt_put(out, &entry, sizeof(entry));
	}
	return 0;
}

const struct ckpt_saver epoll_saver = {
	.kind = 72,
	.name = "epoll",
	.matches = epoll_matches,
	.save = epoll_save,
};
