/* SPDX-License-Identifier: MIT */
/* What test_bare.c and the code that it restores know of each other. */
#ifndef SURVIVOR_H
#define SURVIVOR_H

#include <stdint.h>

#include "image/format.h"

#define SURVIVOR_THREADS 8
#define SURVIVOR_SERVICE 100 /* index of the service thread */

struct survivor_check {
	uint64_t addr, length;
	uint64_t seed; /* 0: zero pages */
};

struct survivor {
	int32_t result_fd;
	int32_t pid;
	uint32_t arrived; /* threads, the service thread included */
	uint32_t expect;
	uint32_t checker; /* index of the thread that looks and ends it all */
	uint32_t pad;
	int32_t tids[SURVIVOR_THREADS + 1]; /* [0]: the leader */
	uint32_t wrong;			    /* tids that are not right */
	uint32_t checks;
	struct survivor_check check[12];
	uint64_t brk;
	uint64_t clock; /* clock_gettime of the old vdso, 0: none */
	int32_t closed_fd; /* must not be open any more */
	uint32_t inherited; /* the service thread saw it open */
	uint64_t guard;	    /* a page that cannot be read */
	uint64_t gone;	    /* an address that nothing is mapped at */
	struct image_rebirth rebirth;
};

/* The word at `addr` of a page whose seed is `seed`. */
static inline uint64_t survivor_word(uint64_t addr, uint64_t seed)
{
	uint64_t x = (addr >> 3) * 0x9e3779b97f4a7c15ull + seed;

	return seed < 1000 ? (x ^ x >> 29) * 0xbf58476d1ce4e5b9ull : seed;
}

enum survivor_result {
	SURVIVED = 42,
	WRONG_PID = 50,
	WRONG_TID,
	WRONG_MEMORY, /* + number of the check */
	WRONG_BREAK = 70,
	WRONG_CLOCK,
	WRONG_FILES,
	WRONG_REBIRTH,
	WRONG_MAPPING,
	WRONG_GUARD,
	WRONG_JUMP,
};

#endif
