/* SPDX-License-Identifier: MIT */
/* inet, restoring: addresses. IPv4's are also those behind ::ffff:. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "plugins/inet/restore.h"

static struct sockaddr_in four_of(const struct inet_name *name)
{
	struct sockaddr_in four;

	memcpy(&four, name->address, sizeof(four));
	return four;
}

static struct sockaddr_in6 six_of(const struct inet_name *name)
{
	struct sockaddr_in6 six;

	memcpy(&six, name->address, sizeof(six));
	return six;
}

const struct sockaddr *inet_address(const struct inet_name *name)
{
	return (const struct sockaddr *)name->address;
}

const char *inet_text(const struct inet_name *name, char *text, size_t size)
{
	struct sockaddr_in four = four_of(name);
	struct sockaddr_in6 six = six_of(name);
	char host[INET6_ADDRSTRLEN] = "?";

	if (name->length >= sizeof(six) && six.sin6_family == AF_INET6) {
		inet_ntop(AF_INET6, &six.sin6_addr, host, sizeof(host));
		snprintf(text, size, "[%s]:%u", host, ntohs(six.sin6_port));
	} else if (name->length >= sizeof(four)) {
		inet_ntop(AF_INET, &four.sin_addr, host, sizeof(host));
		snprintf(text, size, "%s:%u", host, ntohs(four.sin_port));
	} else {
		snprintf(text, size, "nowhere");
	}
	return text;
}

/* In both families it stands at the same place. Copied: in a record these are
 * bytes, and the compiler may rely on that. */
void inet_set_port(struct inet_name *name, uint16_t port)
{
	memcpy(name->address + offsetof(struct sockaddr_in6, sin6_port), &port,
	       sizeof(port));
}

uint16_t inet_port_of(const struct inet_name *name)
{
	uint16_t port;

	memcpy(&port,
	       name->address + offsetof(struct sockaddr_in6, sin6_port),
	       sizeof(port));
	return name->length ? port : 0;
}

struct inet_name inet_in_family(const struct inet_name *name, int family)
{
	struct sockaddr_in four = four_of(name);
	struct sockaddr_in6 six = six_of(name);
	struct sockaddr_in new_four = {.sin_family = AF_INET};
	struct sockaddr_in6 new_six = {.sin6_family = AF_INET6};
	struct inet_name new = *name;

	if (!name->length || four.sin_family == family)
		return new;
	memset(new.address, 0, sizeof(new.address));
	if (family == AF_INET6) {
		new_six.sin6_port = four.sin_port;
		if (four.sin_addr.s_addr) {
			new_six.sin6_addr.s6_addr[10] = 0xff;
			new_six.sin6_addr.s6_addr[11] = 0xff;
			memcpy(&new_six.sin6_addr.s6_addr[12], &four.sin_addr,
			       4);
		}
		memcpy(new.address, &new_six, sizeof(new_six));
		new.length = sizeof(new_six);
	} else {
		new_four.sin_port = six.sin6_port;
		if (IN6_IS_ADDR_V4MAPPED(&six.sin6_addr))
			memcpy(&new_four.sin_addr, &six.sin6_addr.s6_addr[12],
			       4);
		else if (IN6_IS_ADDR_LOOPBACK(&six.sin6_addr))
			new_four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		memcpy(new.address, &new_four, sizeof(new_four));
		new.length = sizeof(new_four);
	}
	return new;
}

int inet_is_any(const struct inet_name *name)
{
	struct inet_name six = inet_in_family(name, AF_INET6);
	struct sockaddr_in6 address = six_of(&six);

	return !name->length || IN6_IS_ADDR_UNSPECIFIED(&address.sin6_addr) ||
	       (IN6_IS_ADDR_V4MAPPED(&address.sin6_addr) &&
		!address.sin6_addr.s6_addr32[3]);
}

static int has_same_address(const struct inet_name *a,
			    const struct inet_name *b)
{
	struct inet_name x = inet_in_family(a, AF_INET6);
	struct inet_name y = inet_in_family(b, AF_INET6);
	struct sockaddr_in6 p = six_of(&x);
	struct sockaddr_in6 q = six_of(&y);

	return IN6_ARE_ADDR_EQUAL(&p.sin6_addr, &q.sin6_addr);
}

int inet_is_same(const struct inet_name *a, const struct inet_name *b)
{
	return a->length && b->length && inet_port_of(a) == inet_port_of(b) &&
	       has_same_address(a, b);
}

/* One of IPv6 alone leaves the same port of IPv4 to others, and often they are
 * of one program. */
static int is_of_family(const struct inet_record *record,
			const struct inet_name *to)
{
	const struct sockaddr_in6 address = six_of(to);
	const int only = INET_OPTION_IPV6_V6ONLY;

	if (address.sin6_family == AF_INET6 &&
	    !IN6_IS_ADDR_V4MAPPED(&address.sin6_addr))
		return record->domain == AF_INET6;
	return record->domain == AF_INET ||
	       !(record->known[only / 64] & 1ull << only % 64) ||
	       !record->options[only];
}

int inet_serves(const struct inet_record *record, const struct inet_name *to)
{
	const struct inet_name *name = &record->name;

	return name->length && to->length &&
	       inet_port_of(name) == inet_port_of(to) &&
	       is_of_family(record, to) &&
	       (inet_is_any(name) || has_same_address(name, to));
}

struct inet_name inet_loopback(int family)
{
	struct inet_name name = {.length = 0};
	struct sockaddr_in four = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	struct sockaddr_in6 six = {
		.sin6_family = AF_INET6,
		.sin6_addr = IN6ADDR_LOOPBACK_INIT,
	};

	name.length = family == AF_INET ? sizeof(four) : sizeof(six);
	if (family == AF_INET)
		memcpy(name.address, &four, sizeof(four));
	else
		memcpy(name.address, &six, sizeof(six));
	return name;
}

struct inet_name inet_any(int family, uint16_t port)
{
	struct inet_name name = inet_loopback(family);

	if (family == AF_INET)
		memset(name.address + offsetof(struct sockaddr_in, sin_addr), 0,
		       sizeof(struct in_addr));
	else
		memset(name.address + offsetof(struct sockaddr_in6, sin6_addr),
		       0, sizeof(struct in6_addr));
	inet_set_port(&name, port);
	return name;
}

struct inet_name inet_own(int fd)
{
	struct inet_name name = {.length = sizeof(name.address)};

	if (getsockname(fd, (struct sockaddr *)name.address, &name.length) < 0)
		name.length = 0;
	return name;
}

struct inet_name inet_peer(int fd)
{
	struct inet_name name = {.length = sizeof(name.address)};

	if (getpeername(fd, (struct sockaddr *)name.address, &name.length) < 0)
		name.length = 0;
	return name;
}
