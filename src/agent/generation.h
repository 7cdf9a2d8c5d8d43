/* SPDX-License-Identifier: MIT */
/*
 * The checkpoint directory: a generation's folder from its making to its
 * commit or removal, and the end of older ones. Worker thread only. Functions
 * return 0 or -errno with one line in g->why.
 */
#ifndef AGENT_GENERATION_H
#define AGENT_GENERATION_H

#include <jansson.h>
#include <limits.h>
#include <stdint.h>

struct generation {
	char dir[PATH_MAX];	     /* .../ckpt-NAME-ID/gen-000007 */
	char parent[PATH_MAX];	     /* .../ckpt-NAME-ID */
	const char *name;	     /* gen-000007, in dir */
	int fd, parent_fd, store_fd; /* -1: not open */
	char why[PATH_MAX + 256];
};

void generation_init(struct generation *g);
/* Makes the folders, removes what unfinished checkpoints have left beside it. */
int generation_open(struct generation *g, const char *dir);
/* Room for `memory` bytes, compressed as well as they could be? */
int generation_space(struct generation *g, uint64_t memory, int compressed);

/* An image being written: a file without a name where the file system can,
 * else NAME.tmp. Returns a descriptor. (Event loop: does not block long.) */
int generation_image_create(struct generation *g, const char *name, int *named);
/* It is complete: checks the header against the hash, gives it its name. */
int generation_image_keep(struct generation *g, int fd, const char *name,
			  int named, uint64_t header_hash);
/* Once more, from disk, before the commit. */
int generation_image_check(struct generation *g, const char *name,
			   uint64_t header_hash);
void generation_image_remove(struct generation *g, const char *name);

int generation_is_committed(struct generation *g);
/* Manifest, durably; then `latest` and the end of all but the `keep` newest,
 * whose troubles are lines in `warnings` only. */
int generation_commit(struct generation *g, const json_t *manifest,
		      unsigned keep, json_t *warnings);
/* Not to be: removes the folder when nothing else is in it. */
void generation_discard(struct generation *g);
void generation_close(struct generation *g);

/* A JSON file, synced. For a name that nobody looks at: rename it afterwards. */
int generation_text_write(int at, const char *name, const json_t *value);
json_t *generation_text_read(int at, const char *name); /* NULL: it is none */

/* A checkpoint that a killed agent was at: remove it if it has no manifest. */
void generation_sweep(const char *dir);

#endif
