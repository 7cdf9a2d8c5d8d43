/* SPDX-License-Identifier: MIT */
/*
 * CKPTDIR/ckpt-NAME-ID/store: each file once, under the XXH3-128 of its
 * content. store/index.json remembers what has been hashed already, so that
 * libraries are read once a computation. Worker thread only.
 */
#ifndef AGENT_STORE_H
#define AGENT_STORE_H

#include <limits.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/worker.h"

#define STORE_NAME 33 /* 32 hex digits */

/* A file on its way. The sender's key identifies it in images. */
struct store_file {
	struct worker_job job; /* for the owner's use */
	struct store_file *next;
	uint64_t dev, ino, size; /* as the sender saw them */
	int64_t mtime;
	int now;   /* somebody may be writing it: neither trust nor feed the
		  * index */
	int fd;	   /* the sender's; store_copy() closes it */
	int state; /* the owner's */

	char name[STORE_NAME];
	char path[PATH_MAX]; /* for people */
	int added;	     /* was not in the store before */
	int changed;	     /* is no longer what the sender saw */
	int copy;	     /* of the content, without a name yet; or -1 */
	char copy_name[48];  /* unless the file system made it nameless */
	uint64_t copied;
	int64_t ctime;
	uint64_t content_size;
	char why[PATH_MAX + 128];
};

/* The store of the checkpoint under way. 0 or -errno. */
int store_open(int store_fd);
/* Read it into a copy, know its hash. Afterwards the original may change. */
int store_copy(struct store_file *file);
/* Make the copy durable and give it its name. */
int store_keep(struct store_file *file);
/* Undo both. */
void store_drop(struct store_file *file);
/* The index, durably: after the last store_keep(). Only a cache: errors are
 * logged. */
void store_save(void);
/* After an abort: nothing stored means no index. */
void store_discard(void);

#endif
