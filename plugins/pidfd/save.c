/* SPDX-License-Identifier: MIT */
/*
 * pidfd, saving. Kept: those of the process itself and of processes that have
 * ended. Others are refused: they are not saved with it yet.
 */
#define _GNU_SOURCE
#include <errno.h>

#include <ckpt/plugin.h>

#include "plugins/fdinfo.h"
#include "plugins/pidfd/format.h"
#include "sys/sys.h"

static int pidfd_matches(const struct ckpt_fd *fd)
{
	return sys_equal(fd->target, "anon_inode:[pidfd]") ||
	       sys_starts(fd->target, "pidfd:");
}

static int pidfd_save(const struct ckpt_fd *fd, struct ckpt_record *out)
{
	const char *pid = fdinfo_find(fd->fdinfo, "Pid");
	struct pidfd_record record = {-1, fd->status_flags & O_EXCL};
	char number[24];
	struct sys_text text;

	if (pid && *pid != '-')
		record.pid = (int32_t)sys_number(&pid, 10);
	if (record.pid != -1 && record.pid != sys_getpid()) {
		sys_text_open(&text, number, sizeof(number));
		sys_text_number(&text, (uint64_t)record.pid, 10);
		return ckpt_refuse(-EOPNOTSUPP, "a pidfd of process ", number,
				   " cannot be saved yet", NULL);
	}
	ckpt_put(out, &record, sizeof(record));
	return 0;
}

const struct ckpt_saver pidfd_saver = {
	.kind = 75,
	.name = "pidfd",
	.matches = pidfd_matches,
	.save = pidfd_save,
};
