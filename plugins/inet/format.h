/* SPDX-License-Identifier: MIT */
#ifndef PLUGINS_INET_FORMAT_H
#define PLUGINS_INET_FORMAT_H

#include <stdint.h>

#include "plugins/sockopt.h"

#define INET_VERSION 1
#define INET_NAME 32 /* struct sockaddr_in6, rounded up */

enum inet_flags {
	INET_LISTENS = 1,
	INET_CONNECTED = 2, /* a datagram socket: by connect() only */
	INET_LOST = 4,	    /* a connection, which cannot be kept */
};

/* INET_OPTION(level, number, name): an int each; the order is the format. */
#define INET_OPTION_LIST                                                       \
	INET_OPTION(0, 1, IP_TOS)                                              \
	INET_OPTION(0, 2, IP_TTL)                                              \
	INET_OPTION(0, 8, IP_PKTINFO)                                          \
	INET_OPTION(0, 10, IP_MTU_DISCOVER)                                    \
	INET_OPTION(0, 11, IP_RECVERR)                                         \
	INET_OPTION(0, 15, IP_FREEBIND)                                        \
	INET_OPTION(0, 24, IP_BIND_ADDRESS_NO_PORT)                            \
	INET_OPTION(0, 33, IP_MULTICAST_TTL)                                   \
	INET_OPTION(0, 34, IP_MULTICAST_LOOP)                                  \
	INET_OPTION(41, 16, IPV6_UNICAST_HOPS)                                 \
	INET_OPTION(41, 18, IPV6_MULTICAST_HOPS)                               \
	INET_OPTION(41, 19, IPV6_MULTICAST_LOOP)                               \
	INET_OPTION(41, 23, IPV6_MTU_DISCOVER)                                 \
	INET_OPTION(41, 25, IPV6_RECVERR)                                      \
	INET_OPTION(41, 26, IPV6_V6ONLY)                                       \
	INET_OPTION(41, 49, IPV6_RECVPKTINFO)                                  \
	INET_OPTION(41, 67, IPV6_TCLASS)                                       \
	INET_OPTION(6, 1, TCP_NODELAY)                                         \
	INET_OPTION(6, 3, TCP_CORK)                                            \
	INET_OPTION(6, 4, TCP_KEEPIDLE)                                        \
	INET_OPTION(6, 5, TCP_KEEPINTVL)                                       \
	INET_OPTION(6, 6, TCP_KEEPCNT)                                         \
	INET_OPTION(6, 7, TCP_SYNCNT)                                          \
	INET_OPTION(6, 9, TCP_DEFER_ACCEPT)                                    \
	INET_OPTION(6, 18, TCP_USER_TIMEOUT)                                   \
	INET_OPTION(6, 23, TCP_FASTOPEN)                                       \
	INET_OPTION(6, 25, TCP_NOTSENT_LOWAT)

enum inet_option_index {
#define INET_OPTION(level, number, name) INET_OPTION_##name,
	INET_OPTION_LIST
#undef INET_OPTION
	INET_OPTION_COUNT
};

struct inet_name {
	uint32_t length; /* 0: none */
	uint32_t pad;
	unsigned char address[INET_NAME];
};

struct inet_record {
	int32_t domain, type, protocol;
	uint32_t flags; /* enum inet_flags */
	uint32_t state; /* of TCP */
	uint32_t backlog;
	uint32_t unread; /* bytes that follow: of a lost connection */
	uint32_t known;	 /* bit n: options[n] */
	int32_t options[INET_OPTION_COUNT];
	int32_t standard; /* a connection as this standard stream; -1 */
	struct inet_name name, peer_name;
	struct sockopt_record socket_options;
};

#endif
