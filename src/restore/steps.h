/* SPDX-License-Identifier: MIT */
/*
 * The bare room: the steps of the restorer, in the order in which main.c takes
 * them. No libc, no memory but the plan's and the stack, no data of its own.
 * A step that fails says so and ends the process: past the first of them there
 * is nothing to go back to.
 */
#ifndef STEPS_H
#define STEPS_H

#include <stddef.h>
#include <stdint.h>

#include "restore/bare.h"

#define PAGE 4096u
#define SPECIALS_MAX 8

struct range {
	uint64_t start, end;
};

/* What the restorer keeps of the vdso of this process, which the kernel gave
 * it: [vvar] and its likes (each moves as a whole, or not at all), then [vdso]. */
struct bare_vdso {
	struct range map[SPECIALS_MAX]; /* ascending, without gaps; the vdso last */
	unsigned count;			/* 0: there is none */
};

enum bare_mark {
	MARK_FILLED = 1, /* has page data, so it has to be writable at first */
	MARK_LATE = 2,	 /* too large for that: only where the data goes */
};

struct bare {
	const struct bare_plan *plan;
	unsigned char *marks; /* enum bare_mark, one byte an area */
	struct bare_vdso vdso;
	int failed; /* somebody is telling why */
};

/* fail.c: "WHAT[ ADDR]: errno N" to plan->error_fd, exit 99. addr 0: none. */
_Noreturn void bare_fail(struct bare *b, const char *what, uint64_t addr,
			 long error);

/* vdso.c */
void bare_vdso_find(struct bare *b);  /* in /proc/self/maps */
/* Out of the way of the areas; where the old one stood, when they are alike. */
void bare_vdso_move(struct bare *b);
void bare_vdso_put(struct bare *b);   /* the old bytes, leading to the new */

/* map.c */
void bare_unmap(struct bare *b);      /* all but the plan's memory and the vdso */
void bare_map(struct bare *b);	      /* the areas, still writable */
void bare_finish(struct bare *b);     /* protection, advice, guards, locks */
/* The area that holds addr, or area_count. */
uint64_t bare_area_at(const struct bare_plan *p, uint64_t addr);

/* fill.c */
void bare_fill(struct bare *b);

/* threads.c: never returns */
_Noreturn void bare_release(struct bare *b);

#endif
