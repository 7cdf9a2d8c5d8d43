/* SPDX-License-Identifier: MIT */
/*
 * signalfd, saving. Kept: the mask; what it would give to a reader are the
 * pending signals of the process (signals) and of its threads.
 */
#define _GNU_SOURCE
#include <ckpt/plugin.h>

#include "plugins/fdinfo.h"
#include "plugins/signalfd/format.h"

static int signalfd_matches(const struct ckpt_fd *fd)
{
	return sys_equal(fd->target, "anon_inode:[signalfd]");
}

static int signalfd_save(const struct ckpt_fd *fd, struct ckpt_record *out)
{
	struct signalfd_record record = {
		.mask = fdinfo_number(fd->fdinfo, "sigmask", 16, 0),
	};

	ckpt_put(out, &record, sizeof(record));
	return 0;
}

const struct ckpt_saver signalfd_saver = {
	.kind = 71,
	.name = "signalfd",
	.matches = signalfd_matches,
	.save = signalfd_save,
};
