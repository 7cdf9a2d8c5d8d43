/* SPDX-License-Identifier: MIT */
#ifndef PLUGINS_NETLINK_FORMAT_H
#define PLUGINS_NETLINK_FORMAT_H

#include <stdint.h>

#include "plugins/sockopt.h"

#define NETLINK_VERSION 1
#define NETLINK_GROUPS 8 /* 256 groups */

struct netlink_record {
	int32_t type, protocol;
	uint32_t bound;	 /* 1: has a port id */
	uint32_t port;
	uint32_t unread; /* something waits in it, which is not kept */
	uint32_t groups[NETLINK_GROUPS]; /* bit n: group n + 1 */
	uint32_t pad;
	struct sockopt_record options;
};

#endif
