/* SPDX-License-Identifier: MIT */
/*
 * Options of the socket level that sockets of every family have, as numbers:
 * frozen code reads them raw, ckpt_restart sets them. Order is the format.
 */
#ifndef PLUGINS_SOCKOPT_H
#define PLUGINS_SOCKOPT_H

#include <stdint.h>

/* SOCKOPT(number, name): an int each. Missing ones are not known here. */
#define SOCKOPT_LIST                                                           \
	SOCKOPT(2, REUSEADDR)                                                  \
	SOCKOPT(15, REUSEPORT)                                                 \
	SOCKOPT(5, DONTROUTE)                                                  \
	SOCKOPT(6, BROADCAST)                                                  \
	SOCKOPT(9, KEEPALIVE)                                                  \
	SOCKOPT(10, OOBINLINE)                                                 \
	SOCKOPT(11, NO_CHECK)                                                  \
	SOCKOPT(12, PRIORITY)                                                  \
	SOCKOPT(16, PASSCRED)                                                  \
	SOCKOPT(18, RCVLOWAT)                                                  \
	SOCKOPT(29, TIMESTAMP)                                                 \
	SOCKOPT(34, PASSSEC)                                                   \
	SOCKOPT(35, TIMESTAMPNS)                                               \
	SOCKOPT(36, MARK)                                                      \
	SOCKOPT(37, TIMESTAMPING)                                              \
	SOCKOPT(40, RXQ_OVFL)                                                  \
	SOCKOPT(43, NOFCS)                                                     \
	SOCKOPT(45, SELECT_ERR_QUEUE)                                          \
	SOCKOPT(46, BUSY_POLL)                                                 \
	SOCKOPT(60, ZEROCOPY)                                                  \
	SOCKOPT(69, PREFER_BUSY_POLL)                                          \
	SOCKOPT(70, BUSY_POLL_BUDGET)                                          \
	SOCKOPT(73, RESERVE_MEM)                                               \
	SOCKOPT(74, TXREHASH)                                                  \
	SOCKOPT(75, RCVMARK)                                                   \
	SOCKOPT(76, PASSPIDFD)

enum sockopt_index {
#define SOCKOPT(number, name) SOCKOPT_##name,
	SOCKOPT_LIST
#undef SOCKOPT
	SOCKOPT_COUNT
};

struct sockopt_record {
	uint32_t known; /* bit n: values[n] */
	int32_t values[SOCKOPT_COUNT];
	int32_t send_buffer, receive_buffer; /* as getsockopt() tells: doubled */
	int32_t linger_on, linger_seconds;
	int64_t receive_s, receive_us, send_s, send_us; /* SO_RCVTIMEO ... */
	int32_t locks; /* SO_BUF_LOCK: sizes that were set, 1: of sending, 2: of
			* receiving; -1: not told, before Linux 5.14 */
	int32_t pad;
};

#endif
