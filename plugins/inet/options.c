/* SPDX-License-Identifier: MIT */
/* inet, restoring: options. Only those that differ from a new socket's are
 * set: some may be by root alone. */
#define _GNU_SOURCE
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

#include "plugins/inet/restore.h"
#include "plugins/sockopt_restore.h"

#ifndef SO_MAX_PACING_RATE
#define SO_MAX_PACING_RATE 47
#endif

static const struct { int level, number; } options[] = {
#define INET_OPTION(level, number, name) {level, number},
	INET_OPTION_LIST
#undef INET_OPTION
};

static void set_option(int fd, const struct inet_record *record, int i)
{
	int value = 0;
	socklen_t length = sizeof(value);

	if (!(record->known[i / 64] & 1ull << i % 64) ||
	    getsockopt(fd, options[i].level, options[i].number, &value,
		       &length) < 0)
		return;
	if (value != record->options[i])
		setsockopt(fd, options[i].level, options[i].number,
			   &record->options[i], sizeof(int32_t));
}

/* bind() looks at these. A name in TCP may be taken by a connection that has
 * just ended: so it is shared, until inet_late(). */
void inet_early(int fd, const struct inet_record *record)
{
	static const int early[] = {
		INET_OPTION_IPV6_V6ONLY,
		INET_OPTION_IP_FREEBIND,
		INET_OPTION_IPV6_FREEBIND,
		INET_OPTION_IP_TRANSPARENT,
		INET_OPTION_IPV6_TRANSPARENT,
		INET_OPTION_IP_BIND_ADDRESS_NO_PORT,
		INET_OPTION_IP_LOCAL_PORT_RANGE,
		INET_OPTION_IP_HDRINCL,
	};
	const int on = 1;
	size_t i;

	for (i = 0; i < sizeof(early) / sizeof(*early); i++)
		set_option(fd, record, early[i]);
	if (record->type == SOCK_STREAM)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	else
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR,
			   &record->socket_options.values[SOCKOPT_REUSEADDR],
			   sizeof(int32_t));
	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT,
		   &record->socket_options.values[SOCKOPT_REUSEPORT],
		   sizeof(int32_t));
	if (record->device[0])
		setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, record->device,
			   (socklen_t)strnlen(record->device,
					      sizeof(record->device)));
	if (record->congestion[0])
		setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, record->congestion,
			   (socklen_t)strnlen(record->congestion,
					      sizeof(record->congestion)));
}

/* Of a connection these are what it has found out, not what was asked. */
static int is_found_out(const struct inet_record *record, int i)
{
	return (record->flags & (INET_STREAM | INET_CONNECTING)) &&
	       (i == INET_OPTION_TCP_MAXSEG ||
		i == INET_OPTION_TCP_WINDOW_CLAMP ||
		i == INET_OPTION_TCP_FASTOPEN_CONNECT);
}

static void set_filter(const struct inet_view *view, int fd)
{
	struct sock_fprog program = {
		.len = (unsigned short)(view->record->filter_length /
					sizeof(struct sock_filter)),
		.filter = (struct sock_filter *)(uintptr_t)view->filter,
	};

	if (program.len)
		setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program,
			   sizeof(program));
}

/* ---- groups ---- */

static int set_sources(int fd, int level, const struct inet_membership *member,
		       const struct group_req *group,
		       const unsigned char *sources)
{
	union {
		struct group_filter head;
		unsigned char space[GROUP_FILTER_SIZE(64)];
	} filter;
	uint32_t i;

	memset(&filter, 0, sizeof(filter));
	filter.head.gf_interface = group->gr_interface;
	filter.head.gf_group = group->gr_group;
	filter.head.gf_fmode = member->mode ? MCAST_EXCLUDE : MCAST_INCLUDE;
	filter.head.gf_numsrc = member->source_count;
	for (i = 0; i < member->source_count; i++) {
		struct inet_name name;

		memcpy(&name, sources + i * sizeof(name), sizeof(name));
		memcpy((unsigned char *)&filter.head.gf_slist +
			       i * sizeof(struct sockaddr_storage),
		       name.address, sizeof(name.address));
	}
	return setsockopt(fd, level, MCAST_MSFILTER, &filter,
			  (socklen_t)GROUP_FILTER_SIZE(member->source_count));
}

static int join(int fd, const struct inet_membership *member,
		const unsigned char *sources)
{
	struct group_req group = {.gr_interface = member->interface};
	int level, ret;

	memcpy(&group.gr_group, member->group.address,
	       sizeof(member->group.address));
	level = group.gr_group.ss_family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6;
	ret = setsockopt(fd, level, MCAST_JOIN_GROUP, &group, sizeof(group));
	if (ret < 0) { /* interfaces have other numbers here */
		group.gr_interface = 0;
		ret = setsockopt(fd, level, MCAST_JOIN_GROUP, &group,
				 sizeof(group));
	}
	if (ret == 0 && (member->source_count || !member->mode))
		ret = set_sources(fd, level, member, &group, sources);
	return ret;
}

static void join_all(struct ckpt_restore *r, const struct inet_view *view,
		     int fd)
{
	const unsigned char *at = view->memberships;
	size_t left = view->record->membership_length, sources;
	struct inet_membership member;
	char text[INET_TEXT];

	for (; left >= sizeof(member); at += sources, left -= sources) {
		memcpy(&member, at, sizeof(member));
		at += sizeof(member);
		left -= sizeof(member);
		sources = member.source_count * sizeof(struct inet_name);
		if (member.source_count > 64 || sources > left)
			return;
		if (join(fd, &member, at) < 0)
			ckpt_report(r, "%s: cannot join the group %s again: %m",
				    view->object->label,
				    inet_text(&member.group, text,
					      sizeof(text)));
	}
}

/* What had to wait unread has needed room, and who sends would fill it again
 * before the next checkpoint. */
static void narrow(int fd, const struct inet_record *record)
{
	const struct sockopt_record *options = &record->socket_options;
	int now = 0, value = options->receive_buffer / 2;
	socklen_t length = sizeof(now);

	if (record->type != SOCK_STREAM || options->locks < 0 ||
	    (options->locks & 2))
		return;
	getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &now, &length);
	if (now > options->receive_buffer && value > 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &value, sizeof(value));
}

void inet_late(struct ckpt_restore *r, const struct inet_view *view, int fd)
{
	const struct inet_record *record = view->record;
	uint64_t pacing = ~0ull;
	socklen_t length = sizeof(pacing);
	int i;

	join_all(r, view, fd);
	for (i = 0; i < INET_OPTION_COUNT; i++)
		if (!is_found_out(record, i))
			set_option(fd, record, i);
	if (getsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &pacing, &length) ==
		    0 && pacing != record->pacing)
		setsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &record->pacing,
			   sizeof(record->pacing));
	narrow(fd, record);
	sockopt_restore(fd, &record->socket_options);
	if (record->peek_offset >= 0)
		setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &record->peek_offset,
			   sizeof(int32_t));
	set_filter(view, fd);
}
