/* SPDX-License-Identifier: MIT */
/*
 * Writing an image. No libc: used frozen, also by a fork-like child and by
 * raw-clone threads without TLS. All memory is mapped by image_writer_open()
 * and lies in one range, so that the caller can leave it out of the image.
 *
 * Order: open, records, pages_add for every run, pages_write, finish. The
 * writer keeps the first error; image_writer_finish() returns it. On any
 * error the file has no valid header.
 */
#ifndef IMAGE_WRITER_H
#define IMAGE_WRITER_H

#include <stddef.h>
#include <stdint.h>

#include "image/format.h"

struct image_writer;

struct image_writer_options {
	int fd;		   /* of an empty file, read-write; stays the caller's */
	uint32_t compress; /* enum service_compress: 0 auto, 1 lz4, 2 none */
	uint32_t threads;  /* 1 .. 64 that compress and write */
	size_t records_max; /* address space reserved for records */
	size_t runs_max;    /* how many runs pages_add() may be given */
};

/* Maps everything the writer will ever need (buffers included). NULL: out of
 * memory. *base and *length: the range. */
struct image_writer *image_writer_open(const struct image_writer_options *o,
				       uint64_t *base, uint64_t *length);
void image_writer_close(struct image_writer *w); /* unmaps */

void image_record_begin(struct image_writer *w, uint32_t kind, uint16_t version);
void image_record_put(struct image_writer *w, const void *data, size_t length);
void image_record_end(struct image_writer *w);

enum image_run_flags {
	RUN_UNREADABLE = 1, /* copy by /proc/self/mem: no read permission */
	RUN_UNSTABLE = 2,   /* may change while written: copy before hashing */
	RUN_TRIM_FAULTS = 4, /* pages that cannot be read (beyond the end of
			      * a file) are left out instead of an error */
};
/* Pages [addr, addr + length) are to be written; zero pages among them will
 * be found and left out. Ascending addresses. */
void image_pages_add(struct image_writer *w, uint64_t addr, uint64_t length,
		     uint32_t flags);
uint64_t image_pages_total(const struct image_writer *w); /* bytes added */

/* Write all runs, with `threads` raw-clone threads (this one included).
 * progress() is called now and then, on the calling thread. */
struct image_progress {
	void (*report)(void *data, uint64_t raw, uint64_t stored);
	void *data;
};
void image_pages_write(struct image_writer *w, const struct image_progress *p);

/* Index, fsync, header (hashes filled in), fsync. `h` gives computation,
 * generation, pid, uid, created; gets everything else. 0 or -errno. */
int image_writer_finish(struct image_writer *w, struct image_header *h);
int image_writer_error(const struct image_writer *w);

#endif
