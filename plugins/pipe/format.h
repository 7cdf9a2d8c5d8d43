/* SPDX-License-Identifier: MIT */
#ifndef PLUGINS_PIPE_FORMAT_H
#define PLUGINS_PIPE_FORMAT_H

#include <stdint.h>

#define PIPE_VERSION 1

enum pipe_flags {
	PIPE_NAMED = 1,	  /* a FIFO; its path is there */
	PIPE_OUTSIDE = 2, /* the other end is open, but not in the process */
	PIPE_PACKETS = 4, /* O_DIRECT: each chunk is one packet */
	PIPE_DELETED = 8, /* a FIFO without a name */
};

struct pipe_record {
	uint64_t dev, ino;
	uint32_t flags;	   /* enum pipe_flags */
	uint32_t capacity; /* F_GETPIPE_SZ */
	uint32_t first;	   /* the first object of this pipe; it has the content */
	uint32_t peer;	   /* the first that is the other end, 0: none here */
	int32_t standard;  /* it led outside as this standard stream; -1 */
	uint32_t unread;   /* bytes in an outside pipe, which are not kept */
	uint32_t path_length; /* the path follows, without NUL ... */
	uint32_t content;     /* ... then chunks that have this many bytes in
			       * all: each a uint32_t length, not counted,
			       * and its bytes, unpadded */
};

#endif
