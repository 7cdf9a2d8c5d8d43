/* SPDX-License-Identifier: MIT */
/*
 * inet, saving: multicast groups. Nothing tells those of one socket; but of
 * the groups that the host has joined, which /proc/self/net lists, a socket
 * says by getsockopt(MCAST_MSFILTER) whether it is in one.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/in.h>

#include "plugins/inet/save.h"
#include "plugins/sockopt_save.h"
#include "sys/string.h"
#include "sys/sys.h"

#define MEMBER_SOURCES 32
#define MEMBER_ADDRESS 128 /* struct __kernel_sockaddr_storage */

struct member_filter { /* struct group_filter */
	uint32_t interface, pad;
	unsigned char group[MEMBER_ADDRESS];
	uint32_t mode, count;
	unsigned char sources[MEMBER_SOURCES][MEMBER_ADDRESS];
};

static void put_name(struct ckpt_record *out, const unsigned char *address,
		     int family)
{
	struct inet_name name = {.length = family == FAMILY_INET ? 16 : 28};

	__builtin_memcpy(name.address, address, name.length);
	ckpt_put(out, &name, sizeof(name));
}

/* Asks for one group. The bytes put. */
static uint32_t ask(int fd, int family, struct member_filter *filter,
		    struct ckpt_record *out)
{
	struct inet_membership membership = {.interface = filter->interface};
	uint32_t length = sizeof(*filter), i;
	int level = family == FAMILY_INET ? 0 : 41;

	filter->count = MEMBER_SOURCES;
	if (SYS_CALL(SYS_getsockopt, fd, level, MCAST_MSFILTER, filter,
		     &length) < 0)
		return 0;
	if (filter->count > MEMBER_SOURCES)
		filter->count = MEMBER_SOURCES;
	membership.mode = filter->mode == MCAST_EXCLUDE;
	membership.source_count = filter->count;
	membership.group.length = family == FAMILY_INET ? 16 : 28;
	__builtin_memcpy(membership.group.address, filter->group,
			 membership.group.length);
	if (out) {
		ckpt_put(out, &membership, sizeof(membership));
		for (i = 0; i < filter->count; i++)
			put_name(out, filter->sources[i], family);
	}
	return (uint32_t)(sizeof(membership) +
			  filter->count * sizeof(struct inet_name));
}

static const char *skip_blanks(const char *at)
{
	while (*at == ' ' || *at == '\t')
		at++;
	return at;
}

static const char *skip_line(const char *at)
{
	while (*at && *at++ != '\n')
		;
	return at;
}

/* "1<tab>lo : ..." then "<tabs>010000E0 ...": a group as a number in memory. */
static uint32_t of_four(int fd, const char *at, struct ckpt_record *out)
{
	static struct member_filter filter;
	uint32_t bytes = 0, interface = 0, group;

	for (at = skip_line(at); *at; at = skip_line(at)) {
		if (*at != '\t') {
			interface = (uint32_t)sys_number(&at, 10);
			continue;
		}
		at = skip_blanks(at);
		group = (uint32_t)sys_number(&at, 16);
		filter.interface = interface;
		__builtin_memset(filter.group, 0, sizeof(filter.group));
		*(uint16_t *)(void *)filter.group = FAMILY_INET;
		__builtin_memcpy(filter.group + 4, &group, sizeof(group));
		bytes += ask(fd, FAMILY_INET, &filter, out);
	}
	return bytes;
}

/* "1    lo    ff020000000000000000000000000001 ..." */
static uint32_t of_six(int fd, const char *at, struct ckpt_record *out)
{
	static struct member_filter filter;
	uint32_t bytes = 0;
	int i;

	for (; *at; at = skip_line(at)) {
		char digits[3] = {0};
		const char *digit;

		filter.interface = (uint32_t)sys_number(&at, 10);
		at = skip_blanks(at);
		while (*at && *at != ' ' && *at != '\t')
			at++;
		at = skip_blanks(at);
		__builtin_memset(filter.group, 0, sizeof(filter.group));
		*(uint16_t *)(void *)filter.group = FAMILY_INET6;
		for (i = 0; i < 16 && at[0] && at[1]; i++, at += 2) {
			digits[0] = at[0];
			digits[1] = at[1];
			digit = digits;
			filter.group[8 + i] =
				(unsigned char)sys_number(&digit, 16);
		}
		bytes += ask(fd, FAMILY_INET6, &filter, out);
	}
	return bytes;
}

static const char *read_list(const char *path)
{
	static char text[32768];
	long fd = sys_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	size_t length = 0;
	long got = 0;

	if (fd < 0)
		return "";
	while (length < sizeof(text) - 1 &&
	       (got = sys_read((int)fd, text + length,
			       sizeof(text) - 1 - length)) > 0)
		length += (size_t)got;
	text[length] = 0;
	sys_close((int)fd);
	return text;
}

uint32_t inet_put_memberships(int fd, const struct inet_record *record,
			      struct ckpt_record *out)
{
	uint32_t bytes;

	if (record->type == TYPE_STREAM)
		return 0;
	bytes = of_four(fd, read_list("/proc/self/net/igmp"), out);
	if (record->domain == FAMILY_INET6)
		bytes += of_six(fd, read_list("/proc/self/net/igmp6"), out);
	return bytes;
}
