/* SPDX-License-Identifier: MIT */
#ifndef PLUGINS_INET_FORMAT_H
#define PLUGINS_INET_FORMAT_H

#include <stdint.h>

#include "plugins/sockopt.h"

#define INET_VERSION 3
#define INET_NAME 32 /* struct sockaddr_in6, rounded up */
#define INET_NO_MARK (~0u)

enum inet_flags {
	INET_LISTENS = 1,
	INET_CONNECTED = 2,   /* a datagram socket: by connect() only */
	INET_STREAM = 4,      /* a connection, as it stood or has ended */
	INET_WAITS = 8,	      /* nobody has accepted it at the other end */
	INET_CONNECTING = 16, /* not answered yet */
	INET_SENT_END = 32,   /* this end has closed its half */
	INET_GOT_END = 64,    /* the other end has closed its half */
	INET_DEAF = 128,      /* shutdown(SHUT_RD) here */
	INET_RESET = 256,     /* an error waits: reset */
	INET_UNANSWERED = 512, /* an error waits: connect() has failed */
	INET_QUEUE = 1024,    /* the queue is in this record */
	INET_URGENT_READ = 2048, /* the byte at the mark has been taken */
	INET_OVER = 4096,     /* both halves are closed: who was at the other
			       * end is not known any more */
	INET_STRANGE = 16384, /* the other end went on sending: it is none of
			       * the computation's */
	INET_PEER_HERE = 8192, /* the other end's address is this host's */
	INET_PAIRED = 32768,  /* the other end is in another host group; with
			       * INET_WAITS, its listener */
	INET_PEER_CLOSED = 65536, /* the other end, in another host group, was
				   * closed by who had it */
	INET_HOSTS = 131072, /* there are processes on other hosts, to which it
			      * may send datagrams, or from which it gets them */
};

/* INET_OPTION(level, number, name): an int each; the order is the format. */
#define INET_OPTION_LIST                                                       \
	INET_OPTION(0, 1, IP_TOS)                                              \
	INET_OPTION(0, 2, IP_TTL)                                              \
	INET_OPTION(0, 3, IP_HDRINCL)                                          \
	INET_OPTION(0, 6, IP_RECVOPTS)                                         \
	INET_OPTION(0, 7, IP_RETOPTS)                                          \
	INET_OPTION(0, 8, IP_PKTINFO)                                          \
	INET_OPTION(0, 10, IP_MTU_DISCOVER)                                    \
	INET_OPTION(0, 11, IP_RECVERR)                                         \
	INET_OPTION(0, 12, IP_RECVTTL)                                         \
	INET_OPTION(0, 13, IP_RECVTOS)                                         \
	INET_OPTION(0, 15, IP_FREEBIND)                                        \
	INET_OPTION(0, 18, IP_PASSSEC)                                         \
	INET_OPTION(0, 19, IP_TRANSPARENT)                                     \
	INET_OPTION(0, 20, IP_RECVORIGDSTADDR)                                 \
	INET_OPTION(0, 21, IP_MINTTL)                                          \
	INET_OPTION(0, 22, IP_NODEFRAG)                                        \
	INET_OPTION(0, 23, IP_CHECKSUM)                                        \
	INET_OPTION(0, 24, IP_BIND_ADDRESS_NO_PORT)                            \
	INET_OPTION(0, 25, IP_RECVFRAGSIZE)                                    \
	INET_OPTION(0, 26, IP_RECVERR_RFC4884)                                 \
	INET_OPTION(0, 32, IP_MULTICAST_IF)                                    \
	INET_OPTION(0, 33, IP_MULTICAST_TTL)                                   \
	INET_OPTION(0, 34, IP_MULTICAST_LOOP)                                  \
	INET_OPTION(0, 49, IP_MULTICAST_ALL)                                   \
	INET_OPTION(0, 50, IP_UNICAST_IF)                                      \
	INET_OPTION(0, 51, IP_LOCAL_PORT_RANGE)                                \
	INET_OPTION(41, 7, IPV6_CHECKSUM)                                      \
	INET_OPTION(41, 11, IPV6_FLOWINFO)                                     \
	INET_OPTION(41, 16, IPV6_UNICAST_HOPS)                                 \
	INET_OPTION(41, 17, IPV6_MULTICAST_IF)                                 \
	INET_OPTION(41, 18, IPV6_MULTICAST_HOPS)                               \
	INET_OPTION(41, 19, IPV6_MULTICAST_LOOP)                               \
	INET_OPTION(41, 23, IPV6_MTU_DISCOVER)                                 \
	INET_OPTION(41, 25, IPV6_RECVERR)                                      \
	INET_OPTION(41, 26, IPV6_V6ONLY)                                       \
	INET_OPTION(41, 29, IPV6_MULTICAST_ALL)                                \
	INET_OPTION(41, 31, IPV6_RECVERR_RFC4884)                              \
	INET_OPTION(41, 33, IPV6_FLOWINFO_SEND)                                \
	INET_OPTION(41, 49, IPV6_RECVPKTINFO)                                  \
	INET_OPTION(41, 51, IPV6_RECVHOPLIMIT)                                 \
	INET_OPTION(41, 53, IPV6_RECVHOPOPTS)                                  \
	INET_OPTION(41, 56, IPV6_RECVRTHDR)                                    \
	INET_OPTION(41, 58, IPV6_RECVDSTOPTS)                                  \
	INET_OPTION(41, 60, IPV6_RECVPATHMTU)                                  \
	INET_OPTION(41, 62, IPV6_DONTFRAG)                                     \
	INET_OPTION(41, 66, IPV6_RECVTCLASS)                                   \
	INET_OPTION(41, 67, IPV6_TCLASS)                                       \
	INET_OPTION(41, 70, IPV6_AUTOFLOWLABEL)                                \
	INET_OPTION(41, 72, IPV6_ADDR_PREFERENCES)                             \
	INET_OPTION(41, 73, IPV6_MINHOPCOUNT)                                  \
	INET_OPTION(41, 74, IPV6_RECVORIGDSTADDR)                              \
	INET_OPTION(41, 75, IPV6_TRANSPARENT)                                  \
	INET_OPTION(41, 76, IPV6_UNICAST_IF)                                   \
	INET_OPTION(41, 77, IPV6_RECVFRAGSIZE)                                 \
	INET_OPTION(41, 78, IPV6_FREEBIND)                                     \
	INET_OPTION(6, 1, TCP_NODELAY)                                         \
	INET_OPTION(6, 2, TCP_MAXSEG)                                          \
	INET_OPTION(6, 3, TCP_CORK)                                            \
	INET_OPTION(6, 4, TCP_KEEPIDLE)                                        \
	INET_OPTION(6, 5, TCP_KEEPINTVL)                                       \
	INET_OPTION(6, 6, TCP_KEEPCNT)                                         \
	INET_OPTION(6, 7, TCP_SYNCNT)                                          \
	INET_OPTION(6, 8, TCP_LINGER2)                                         \
	INET_OPTION(6, 9, TCP_DEFER_ACCEPT)                                    \
	INET_OPTION(6, 10, TCP_WINDOW_CLAMP)                                   \
	INET_OPTION(6, 16, TCP_THIN_LINEAR_TIMEOUTS)                           \
	INET_OPTION(6, 18, TCP_USER_TIMEOUT)                                   \
	INET_OPTION(6, 23, TCP_FASTOPEN)                                       \
	INET_OPTION(6, 25, TCP_NOTSENT_LOWAT)                                  \
	INET_OPTION(6, 27, TCP_SAVE_SYN)                                       \
	INET_OPTION(6, 30, TCP_FASTOPEN_CONNECT)                               \
	INET_OPTION(6, 34, TCP_FASTOPEN_NO_COOKIE)                             \
	INET_OPTION(6, 36, TCP_INQ)                                            \
	INET_OPTION(6, 37, TCP_TX_DELAY)                                       \
	INET_OPTION(6, 44, TCP_RTO_MAX_MS)                                     \
	INET_OPTION(6, 45, TCP_RTO_MIN_US)                                     \
	INET_OPTION(6, 46, TCP_DELACK_MAX_US)                                  \
	INET_OPTION(17, 1, UDP_CORK)                                           \
	INET_OPTION(17, 100, UDP_ENCAP)                                        \
	INET_OPTION(17, 101, UDP_NO_CHECK6_TX)                                 \
	INET_OPTION(17, 102, UDP_NO_CHECK6_RX)                                 \
	INET_OPTION(17, 103, UDP_SEGMENT)                                      \
	INET_OPTION(17, 104, UDP_GRO)                                          \
	INET_OPTION(136, 10, UDPLITE_SEND_CSCOV)                               \
	INET_OPTION(136, 11, UDPLITE_RECV_CSCOV)                               \
	INET_OPTION(255, 1, ICMP_FILTER)

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

/* A group that the socket has joined on an interface, as MCAST_MSFILTER tells.
 * The sources follow it, struct inet_name each. */
struct inet_membership {
	uint32_t interface;
	uint32_t mode; /* 0: from these only, 1: from all but these */
	uint32_t source_count;
	uint32_t pad;
	struct inet_name group;
};

struct inet_record {
	int32_t domain, type, protocol;
	uint32_t flags; /* enum inet_flags */
	uint32_t state; /* of TCP */
	uint32_t backlog;
	uint64_t peer_ino; /* of the other end, on this host; 0: nobody's */
	uint64_t network;  /* cookie of the network namespace */
	uint64_t pacing;   /* SO_MAX_PACING_RATE */
	uint64_t pair;	   /* INET_PAIRED: both ends have it; or the inode of
			    * the listener, whose host group is `side` */
	uint32_t unread;   /* bytes of a stream; of all that is queued as
			    * struct inet_datagram */
	uint32_t mark;	   /* the urgent byte's place in them; INET_NO_MARK */
	uint32_t since_ms; /* of what nobody has accepted: when it was made */
	uint32_t membership_length, filter_length; /* bytes */
	uint32_t waiting;  /* connections that wait for accept() */
	int32_t standard;  /* as this standard stream; -1 */
	int32_t peek_offset; /* SO_PEEK_OFF */
	uint32_t side;	     /* which of the two, 0 or 1 */
	uint32_t pad;
	uint64_t known[2]; /* bit n: options[n] */
	int32_t options[INET_OPTION_COUNT];
	char congestion[16]; /* "": none */
	char device[16];     /* SO_BINDTODEVICE */
	struct inet_name name, peer_name;
	struct sockopt_record socket_options;
	/* There follow the memberships, the filter (struct sock_filter) and
	 * the queue. */
};

_Static_assert(INET_OPTION_COUNT <= 128, "known");

/* Unpadded, with the sender's address and the bytes. */
struct inet_datagram {
	uint32_t length, name_length;
};

#endif
