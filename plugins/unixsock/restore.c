/* SPDX-License-Identifier: MIT */
/* unixsock, restoring: nothing yet. */
#include <ckpt/plugin.h>

const struct ckpt_restorer unixsock_restorer = {
	.kind = 73,
	.name = "unixsock",
	.no_position = 1,
};
