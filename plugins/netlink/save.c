/* SPDX-License-Identifier: MIT */
/*
 * netlink, saving: sockets by which the kernel tells of interfaces, routes,
 * devices. Kept: protocol, port id, groups, options. Not kept: messages that
 * have not been read (the kernel tells of an overrun instead).
 */
#define _GNU_SOURCE
#include <linux/netlink.h>
#include <linux/stat.h>

#include <ckpt/plugin.h>

#include "plugins/netlink/format.h"
#include "plugins/sockopt_save.h"
#include "sys/sys.h"

#define FAMILY_NETLINK 16
#define LEVEL_NETLINK 270 /* SOL_NETLINK */
#define MESSAGE_PEEK 2
#define MESSAGE_DONTWAIT 0x40

static int netlink_matches(const struct ckpt_fd *fd)
{
	return (fd->st.mode & S_IFMT) == S_IFSOCK &&
	       !(fd->status_flags & O_PATH) &&
	       sockopt_int(fd->fd, SOCKOPT_SOCKET, SOCKOPT_DOMAIN) ==
		       FAMILY_NETLINK;
}

static int netlink_save(const struct ckpt_fd *fd, struct ckpt_record *out)
{
	struct netlink_record record = {
		.type = sockopt_int(fd->fd, SOCKOPT_SOCKET, SOCKOPT_TYPE),
		.protocol = sockopt_int(fd->fd, SOCKOPT_SOCKET,
					SOCKOPT_PROTOCOL),
	};
	struct sockaddr_nl name = {0};
	uint32_t length = sizeof(name);
	char byte;

	if (SYS_CALL(SYS_getsockname, fd->fd, &name, &length) == 0) {
		record.port = name.nl_pid;
		record.bound = name.nl_pid != 0;
		record.groups[0] = name.nl_groups;
	}
	sockopt_get(fd->fd, LEVEL_NETLINK, NETLINK_LIST_MEMBERSHIPS,
		    record.groups, sizeof(record.groups));
	record.unread = SYS_CALL(SYS_recvfrom, fd->fd, &byte, 1,
				 MESSAGE_PEEK | MESSAGE_DONTWAIT, NULL,
				 NULL) >= 0;
	sockopt_save(fd->fd, &record.options);
	ckpt_put(out, &record, sizeof(record));
	return 0;
}

const struct ckpt_saver netlink_saver = {
	.kind = 77,
	.name = "netlink",
	.matches = netlink_matches,
	.save = netlink_save,
};
