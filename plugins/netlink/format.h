/* SPDX-License-Identifier: MIT */
#ifndef PLUGINS_NETLINK_FORMAT_H
#define PLUGINS_NETLINK_FORMAT_H

#include <stdint.h>

#include "plugins/sockopt.h"

#define NETLINK_VERSION 2
#define NETLINK_GROUPS 8 /* 256 groups */
#define NETLINK_OPTIONS 16

/* As the kernel has it; and 8 bytes of what follows. */
struct netlink_message {
	uint32_t length;
	uint16_t type, flags;
	uint32_t sequence, port;
	uint32_t body[2];
};

struct netlink_record {
	int32_t type, protocol;
	uint32_t bound;	 /* 1: has a port id */
	uint32_t port;
	uint32_t unread; /* enum netlink_unread */
	uint32_t groups[NETLINK_GROUPS]; /* bit n: group n + 1 */
	uint32_t set; /* bit n: the option n of SOL_NETLINK */
	struct sockopt_record options;
	struct netlink_message first; /* of what waits */
};

enum netlink_unread {
	NETLINK_NOTHING,
	NETLINK_WAITS,
	NETLINK_OVERRUN, /* an error waits, and who knows what */
};

#endif
