/* SPDX-License-Identifier: MIT */
/* unixsock, saving: nothing yet; file refuses sockets by name. */
#include <ckpt/plugin.h>

static int unixsock_matches(const struct ckpt_fd *fd)
{
	(void)fd;
	return 0;
}

const struct ckpt_saver unixsock_saver = {
	.kind = 73,
	.name = "unixsock",
	.matches = unixsock_matches,
};
