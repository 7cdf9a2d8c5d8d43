/* SPDX-License-Identifier: MIT */
/* The hash of the image format: XXH3-64, seed 0, from xxhash's header alone,
 * so that no room needs a library for it. */
#ifndef IMAGE_HASH_H
#define IMAGE_HASH_H

#define XXH_INLINE_ALL
#define XXH_FORCE_MEMORY_ACCESS 1 /* freestanding memcpy() is a real call */
#include <stddef.h>
#include <stdint.h>
#include <xxhash.h>

#include "image/format.h"

static inline uint64_t image_hash(const void *data, size_t length)
{
	return XXH3_64bits(data, length);
}

/* Of all bytes of the header before the hash itself. */
static inline uint64_t image_header_hash(const struct image_header *h)
{
	return image_hash(h, __builtin_offsetof(struct image_header,
						header_hash));
}

#endif
