/* SPDX-License-Identifier: MIT */
/*
 * netlink, saving: sockets by which the kernel tells of interfaces, routes,
 * devices. Kept: protocol, port id, groups, options. Not kept: messages that
 * have not been read, of which the first is noted: restore.c has the kernel
 * answer again, or tell of an overrun.
 */
#define _GNU_SOURCE
#include <linux/netlink.h>
#include <linux/stat.h>
#include <poll.h>

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

/* Those that are not there are not set. */
static uint32_t netlink_set(int fd)
{
	uint32_t set = 0;
	int option, value;

	for (option = NETLINK_PKTINFO; option < NETLINK_OPTIONS; option++) {
		value = 0;
		if (option != NETLINK_LIST_MEMBERSHIPS &&
		    sockopt_get(fd, LEVEL_NETLINK, option, &value,
				sizeof(value)) == 0 && value)
			set |= 1u << option;
	}
	return set;
}

/* A look would take a waiting error. And it is a short one: the kernel makes
 * later answers as large as anybody has ever asked for. */
static uint32_t netlink_look(int fd, struct netlink_message *first)
{
	struct pollfd asked = {fd, POLLIN, 0};
	struct __kernel_timespec now = {0, 0};

	if (SYS_CALL(SYS_ppoll, &asked, 1, &now, NULL, 0) <= 0)
		return NETLINK_NOTHING;
	if (asked.revents & POLLERR)
		return NETLINK_OVERRUN;
	if (SYS_CALL(SYS_recvfrom, fd, first, sizeof(*first),
		     MESSAGE_PEEK | MESSAGE_DONTWAIT, NULL, NULL) < 0)
		return NETLINK_NOTHING;
	return NETLINK_WAITS;
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

	if (SYS_CALL(SYS_getsockname, fd->fd, &name, &length) == 0) {
		record.port = name.nl_pid;
		record.bound = name.nl_pid != 0;
		record.groups[0] = name.nl_groups;
	}
	sockopt_get(fd->fd, LEVEL_NETLINK, NETLINK_LIST_MEMBERSHIPS,
		    record.groups, sizeof(record.groups));
	record.set = netlink_set(fd->fd);
	record.unread = netlink_look(fd->fd, &record.first);
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
