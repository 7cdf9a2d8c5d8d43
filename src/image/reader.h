/* SPDX-License-Identifier: MIT */
/*
 * Reading an image in an ordinary program. Every size and offset of the file
 * is checked before use; a broken file gives one clear line, never a crash.
 */
#ifndef IMAGE_READER_H
#define IMAGE_READER_H

#include <stddef.h>
#include <stdint.h>

#include "image/format.h"

struct image_reader {
	int fd;
	struct image_header header;
	const unsigned char *records; /* mapped or read, checked */
	const struct image_block *blocks;
	const struct image_extent *extents;
	char name[200];	 /* the path, for the message: */
	char error[320]; /* what, where, and what to do */
};

/* Opens and checks header, records and index, not the blocks. 0, or -errno
 * with the reason in r->error (r needs no close then). */
int image_reader_open(struct image_reader *r, int dirfd, const char *path);
void image_reader_close(struct image_reader *r);

/* The records in order: start with *cursor = 0. 1: one was found; body points
 * into the reader, 8-aligned, at least 0-padded to 8. 0: no more. */
int image_reader_next(const struct image_reader *r, size_t *cursor,
		      struct image_record *record, const void **body);

/* Reads every block, checks hashes and that it decompresses; with `threads`
 * threads. 0, or -errno with r->error. */
int image_reader_verify_blocks(struct image_reader *r, unsigned threads);
/* The same without unpacking, for who does that himself later: a file whose
 * hashes are right is what was written. */
int image_reader_hash_blocks(struct image_reader *r, unsigned threads);

/* One block into `out` (at least block->raw bytes); scratch of at least
 * block->stored bytes for LZ4. */
int image_reader_block(struct image_reader *r, uint64_t block, void *out,
		       void *scratch);

#endif
