/* SPDX-License-Identifier: MIT */
#ifndef PLUGINS_PIPE_FORMAT_H
#define PLUGINS_PIPE_FORMAT_H

#include <stdint.h>

#define PIPE_VERSION 2

enum pipe_flags {
	PIPE_NAMED = 1,	  /* a FIFO; its path is there */
	PIPE_ALONE = 2,	  /* nobody at all has the other end */
	PIPE_DELETED = 4, /* a FIFO without a name */
};

struct pipe_record {
	uint32_t flags;	   /* enum pipe_flags */
	uint32_t capacity; /* F_GETPIPE_SZ */
	int32_t standard;  /* the process has it as this standard stream; -1 */
	uint32_t path_length; /* the path follows, without NUL ... */
	uint32_t content;     /* ... then chunks that have this many bytes in
			       * all: each a uint32_t length, not counted,
			       * and its bytes, unpadded. Only in one record
			       * of a process that can read it; 0 in others */
};

#endif
