/* SPDX-License-Identifier: MIT */
#ifndef PLUGINS_UNIXSOCK_FORMAT_H
#define PLUGINS_UNIXSOCK_FORMAT_H

#include <stdint.h>

#include "plugins/sockopt.h"

#define UNIXSOCK_VERSION 1
#define UNIXSOCK_NAME 112 /* struct sockaddr_un, rounded up */

enum unixsock_flags {
	UNIXSOCK_LISTENS = 1,
	UNIXSOCK_CONNECTED = 2,
	UNIXSOCK_PEER_GONE = 4,	     /* the other end is closed */
	UNIXSOCK_PEER_OUTSIDE = 8,   /* it belongs to somebody else */
	UNIXSOCK_FILE = 16,	     /* its name leads to it in the file system */
	UNIXSOCK_WAITS = 32,	     /* connected, but not accepted yet */
};

struct unixsock_name {
	uint32_t length; /* of the address, as for bind(); 0: none */
	uint32_t pad;
	unsigned char address[UNIXSOCK_NAME];
};

struct unixsock_record {
	uint64_t ino;
	uint32_t type;	   /* SOCK_STREAM ... */
	uint32_t flags;	   /* enum unixsock_flags */
	uint32_t shutdown; /* 1: receiving, 2: sending */
	uint32_t backlog;
	uint32_t peer;	   /* its object; 0: none of this process */
	uint32_t listener; /* object by which the connection was made, or 0 */
	int32_t standard;  /* it led outside as this standard stream; -1 */
	int32_t peek_offset; /* SO_PEEK_OFF */
	uint32_t mode;	   /* of the file in the file system */
	uint32_t directory_length; /* where a relative name begins; follows,
				    * then the queue: struct unixsock_chunk,
				    * unpadded, each with its bytes */
	struct unixsock_name name, peer_name;
	struct sockopt_record options;
};

struct unixsock_chunk {
	uint32_t length;
	uint32_t more;	 /* the message goes on in the next one */
	uint32_t sender; /* object, 0: unknown (datagrams) */
};

#endif
