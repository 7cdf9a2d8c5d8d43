/* SPDX-License-Identifier: MIT */
/*
 * pidfd, saving. Kept: those of processes of the computation, which may have
 * ended. One from outside looks as if it had ended, after a restart.
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
	const char *text = fdinfo_find(fd->fdinfo, "Pid");
	struct pidfd_record record = {-1, fd->status_flags & O_EXCL};
	int is_ended = !text || *text == '-';
	int pid = is_ended ? -1 : (int)sys_number(&text, 10);

	/* One that has ended and not been waited for has left the registry. */
	if (!is_ended)
		record.pid = pid == sys_getpid() || ckpt_is_member(pid) ||
					     ckpt_was_member(pid) ?
				     pid :
				     -2;
	if (record.pid == -2 && record.flags)
		return ckpt_refuse(-EOPNOTSUPP,
				   "a pidfd of a thread that does not lead "
				   "its process cannot be saved", NULL);
	ckpt_put(out, &record, sizeof(record));
	return 0;
}

const struct ckpt_saver pidfd_saver = {
	.kind = 75,
	.name = "pidfd",
	.matches = pidfd_matches,
	.save = pidfd_save,
};
