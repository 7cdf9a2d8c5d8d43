/* SPDX-License-Identifier: MIT */
/* netlink, restoring. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <ckpt/plugin.h>

#include "plugins/netlink/format.h"
#include "plugins/sockopt_restore.h"

#ifndef SOL_NETLINK
#define SOL_NETLINK 270
#endif

static void netlink_join(struct ckpt_restore *r,
			 const struct ckpt_object *object, int fd,
			 const struct netlink_record *record)
{
	int group;

	for (group = 1; group <= NETLINK_GROUPS * 32; group++)
		if ((record->groups[(group - 1) / 32] >> (group - 1) % 32 & 1) &&
		    setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group,
			       sizeof(group)) < 0)
			ckpt_report(r, "%s: cannot join group %d again: %m",
				    object->label, group);
}

static int netlink_open(struct ckpt_restore *r, const struct ckpt_object *object)
{
	const struct netlink_record *record = object->body;
	struct sockaddr_nl name = {.nl_family = AF_NETLINK};
	int fd;

	if (object->length < sizeof(*record))
		return -EBADMSG;
	fd = socket(AF_NETLINK, record->type | SOCK_CLOEXEC, record->protocol);
	if (fd < 0)
		return -errno;
	name.nl_pid = record->port;
	if (record->bound &&
	    bind(fd, (struct sockaddr *)&name, sizeof(name)) < 0) {
		name.nl_pid = 0; /* another has it: any will do */
		if (bind(fd, (struct sockaddr *)&name, sizeof(name)) < 0)
			ckpt_report(r, "%s: cannot be bound again: %m",
				    object->label);
	}
	netlink_join(r, object, fd, record);
	sockopt_restore(fd, &record->options);
	if (record->unread)
		ckpt_report(r, "%s: messages that it had not read yet are gone",
			    object->label);
	return fd;
}

static void netlink_show(const struct ckpt_object *object, char *line,
			 size_t size)
{
	const struct netlink_record *record = object->body;

	if (object->length >= sizeof(*record))
		snprintf(line, size, "netlink, protocol %d, port %u",
			 record->protocol, record->port);
}

const struct ckpt_restorer netlink_restorer = {
	.kind = 77,
	.name = "netlink",
	.open = netlink_open,
	.show = netlink_show,
	.no_position = 1,
};
