/* SPDX-License-Identifier: MIT */
#ifndef PLUGINS_UNIXSOCK_FORMAT_H
#define PLUGINS_UNIXSOCK_FORMAT_H

#include <stdint.h>

#include "plugins/sockopt.h"

#define UNIXSOCK_VERSION 2
#define UNIXSOCK_NAME 112 /* struct sockaddr_un, rounded up */

enum unixsock_flags {
	UNIXSOCK_LISTENS = 1,
	UNIXSOCK_CONNECTED = 2,
	UNIXSOCK_PEER_GONE = 4, /* the other end is closed */
	UNIXSOCK_WAITS = 8,	/* connected, but not accepted yet */
	UNIXSOCK_FILE = 16,	/* its name leads to it in the file system */
	UNIXSOCK_LOOKED = 32,	/* he who wrote this looked into the queue, so
				 * what others tell of options may be his doing */
	UNIXSOCK_RESET = 64,	/* the next call is told ECONNRESET */
};

struct unixsock_name {
	uint32_t length; /* of the address, as for bind(); 0: none */
	uint32_t pad;
	unsigned char address[UNIXSOCK_NAME];
};

struct unixsock_record {
	uint64_t peer_ino; /* of the other end; 0: none that anybody has */
	uint32_t type;	   /* SOCK_STREAM ... */
	uint32_t flags;	   /* enum unixsock_flags */
	uint32_t shutdown; /* 1: receiving, 2: sending */
	uint32_t backlog;
	int32_t standard;  /* the process has it as this standard stream; -1 */
	int32_t peek_offset; /* SO_PEEK_OFF */
	int32_t peer_pid;    /* SO_PEERCRED; 0: nobody's */
	uint32_t mode;	     /* of the file in the file system */
	uint32_t waiting_count;
	uint32_t directory_length;
	struct unixsock_name name, peer_name;
	struct sockopt_record options;
	/* There follow the inodes of those that wait for accept(), the oldest
	 * first, uint32_t each; the directory where a relative name begins;
	 * the queue, in one record of all that have the socket: struct
	 * unixsock_chunk, unpadded, with the objects, the sender's address
	 * and the bytes. */
};

struct unixsock_chunk {
	uint32_t length;
	uint32_t more;	      /* the message goes on in the next one */
	uint32_t name_length; /* of the sender; 0: none */
	uint32_t objects;     /* descriptors in it: uint32_t each, their ids */
	int32_t pid;	      /* credentials; 0: none */
	uint32_t uid, gid;
};

#endif
