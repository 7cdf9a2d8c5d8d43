/* SPDX-License-Identifier: MIT */
/*
 * eventfd, saving. Kept: the counter and the semaphore flag. Both are in
 * fdinfo, the flag since Linux 6.5; before, it is found by trying.
 */
#define _GNU_SOURCE
#include <ckpt/plugin.h>

#include "plugins/eventfd/format.h"
#include "plugins/fdinfo.h"
#include "sys/sys.h"

static int eventfd_matches(const struct ckpt_fd *fd)
{
	return sys_equal(fd->target, "anon_inode:[eventfd]");
}

/* A semaphore gives 1 for a read however much is in it. Whoever else holds
 * it is parked, so nobody sees the counter move. */
static int eventfd_try_semaphore(int fd, uint64_t count)
{
	uint64_t two = 2, got = 0;

	if (count < 2)
		sys_write(fd, &two, sizeof(two));
	if (sys_read(fd, &got, sizeof(got)) != sizeof(got))
		return 0;
	if (got != 1) {
		got = count;
		if (count)
			sys_write(fd, &got, sizeof(got));
		return 0;
	}
	if (count < 2)
		sys_read(fd, &got, sizeof(got));
	else
		sys_write(fd, &got, sizeof(got));
	return 1;
}

static int eventfd_save(const struct ckpt_fd *fd, struct ckpt_record *out)
{
	struct eventfd_record record = {
		.count = fdinfo_number(fd->fdinfo, "eventfd-count", 16, 0),
	};
	const char *flag = ckpt_masked("eventfd_semaphore") ?
				   NULL :
				   fdinfo_find(fd->fdinfo, "eventfd-semaphore");

	record.semaphore = flag ? *flag == '1' :
				  eventfd_try_semaphore(fd->fd, record.count);
	ckpt_put(out, &record, sizeof(record));
	return 0;
}

const struct ckpt_saver eventfd_saver = {
	.kind = 69,
	.name = "eventfd",
	.matches = eventfd_matches,
	.save = eventfd_save,
};
