// SPDX-License-Identifier: MIT
/*
 * Memory areas: first mapped so that their pages can be filled in, afterwards
 * given what they had. Nothing is ever mapped over something else.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/prctl.h>
#include <sys/mman.h>

#include "restore/steps.h"
#include "sys/sys.h"

#define TASK_END 0x7ffffffff000ull

/* Newer than the libc headers that we build with. */
#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 0x08 /* 6.11 */
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102 /* 6.13 */
#endif
#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

static void *at(uint64_t addr)
{
	return (void *)(uintptr_t)addr;
}

/* ---- unmapping ---- */

static void unmap(struct bare *b, uint64_t start, uint64_t end)
{
	long ret;

	if (start >= end)
		return;
	ret = sys_munmap(at(start), end - start);
	if (ret < 0)
		bare_fail(b, "unmapping from", start, ret);
}

/* Stands on: the plan, this code and its stack are in the scratch range. */
void bare_unmap(struct bare *b)
{
	const struct bare_vdso *v = &b->vdso;
	struct range keep[2] = {
		{b->plan->scratch, b->plan->scratch + b->plan->scratch_length},
		{TASK_END, TASK_END},
	};
	struct range first;

	if (v->count)
		keep[1] = (struct range){v->map[0].start,
					 v->map[v->count - 1].end};
	if (keep[1].start < keep[0].start) {
		first = keep[1];
		keep[1] = keep[0];
		keep[0] = first;
	}
	unmap(b, 0, keep[0].start);
	unmap(b, keep[0].end, keep[1].start);
	unmap(b, keep[1].end, TASK_END);
}

/* ---- mapping ---- */

uint64_t bare_area_at(const struct bare_plan *p, uint64_t addr)
{
	uint64_t low = 0, high = p->area_count;

	while (low < high) {
		uint64_t middle = low + (high - low) / 2;

		if (p->areas[middle].end <= addr)
			low = middle + 1;
		else
			high = middle;
	}
	if (low < p->area_count && p->areas[low].start > addr)
		return p->area_count;
	return low;
}

/* Calls what() for each piece of the extents that lies in one area. An extent
 * may go on from one area into the next. */
static void each_piece(struct bare *b,
		       void (*what)(struct bare *b, uint64_t area,
				    struct range piece))
{
	const struct bare_plan *p = b->plan;
	uint64_t count = 0, i, area = 0;

	for (i = 0; i < p->block_count; i++)
		count += p->blocks[i].extents;
	for (i = 0; i < count; i++) {
		struct range left = {p->extents[i].addr,
				     p->extents[i].addr +
					     p->extents[i].length};

		while (left.start < left.end) {
			struct range piece = left;

			if (area >= p->area_count ||
			    left.start < p->areas[area].start ||
			    left.start >= p->areas[area].end)
				area = bare_area_at(p, left.start);
			if (area == p->area_count)
				bare_fail(b, "page data outside of all areas "
					     "at", left.start, -EFAULT);
			if (piece.end > p->areas[area].end)
				piece.end = p->areas[area].end;
			what(b, area, piece);
			left.start = piece.end;
		}
	}
}

static void piece_mark(struct bare *b, uint64_t area, struct range piece)
{
	(void)piece;
	b->marks[area] = MARK_FILLED;
}

static void piece_open(struct bare *b, uint64_t area, struct range piece)
{
	long ret;

	if (b->marks[area] != MARK_LATE)
		return;
	ret = sys_mprotect(at(piece.start), piece.end - piece.start,
			   PROT_READ | PROT_WRITE);
	if (ret < 0)
		bare_fail(b, "opening memory at", piece.start, ret);
}

static int map_flags(const struct bare_area *a)
{
	int flags = MAP_FIXED_NOREPLACE;

	if (a->flags & BARE_SHARED)
		flags |= MAP_SHARED;
	else if (a->advice & AREA_DROPPABLE)
		flags |= MAP_DROPPABLE;
	else
		flags |= MAP_PRIVATE;
	if (a->fd < 0)
		flags |= MAP_ANONYMOUS;
	if (a->flags & BARE_GROWSDOWN)
		flags |= MAP_GROWSDOWN;
	if (a->flags & (BARE_NORESERVE | BARE_PLACEHOLDER))
		flags |= MAP_NORESERVE;
	if (a->flags & BARE_HUGETLB)
		flags |= MAP_HUGETLB | (int)(a->hugetlb_shift
					     << MAP_HUGE_SHIFT);
	return flags;
}

static long map_as(const struct bare_area *a, uint32_t prot, int flags)
{
	return sys_mmap(at(a->start), a->end - a->start, (int)prot, flags,
			a->fd, a->fd < 0 ? 0 : a->offset);
}

/* It has been made with all the protection that it can ever have. */
static void move_area(struct bare *b, const struct bare_area *a)
{
	uint64_t length = a->end - a->start;
	long ret = SYS_CALL(SYS_mremap, a->offset, length, length,
			    MREMAP_MAYMOVE | MREMAP_FIXED, a->start);

	if (ret < 0 && ret >= -4095)
		bare_fail(b, "moving memory to", a->start, ret);
}

static void map_area(struct bare *b, uint64_t area)
{
	const struct bare_area *a = &b->plan->areas[area];
	uint32_t prot = a->flags & BARE_PLACEHOLDER ? PROT_NONE : a->prot;
	uint32_t first = prot;
	int flags = map_flags(a);
	long ret;

	if (a->flags & BARE_MOVE) {
		move_area(b, a);
		return;
	}
	if (b->marks[area])
		first |= PROT_READ | PROT_WRITE;
	ret = map_as(a, first, flags);
	/* A huge reservation that may not be written to costs nothing; as
	 * writable memory there may not be enough for it. */
	if (ret == -ENOMEM && b->marks[area] && !(prot & PROT_WRITE)) {
		b->marks[area] = MARK_LATE;
		ret = map_as(a, prot, flags);
	}
	if (ret == -EINVAL && flags & MAP_DROPPABLE) /* an older kernel */
		ret = map_as(a, first, (flags & ~MAP_DROPPABLE) | MAP_PRIVATE);
	if (ret < 0)
		bare_fail(b, "mapping memory at", a->start, ret);
	/* How large the pages are that we fill is decided now. */
	if (a->advice & AREA_HUGEPAGE)
		sys_madvise(at(a->start), a->end - a->start, MADV_HUGEPAGE);
	if (a->advice & AREA_NOHUGEPAGE)
		sys_madvise(at(a->start), a->end - a->start, MADV_NOHUGEPAGE);
}

void bare_map(struct bare *b)
{
	uint64_t i;

	if (b->plan->area_count > b->plan->buffers_length)
		bare_fail(b, "buffers are too small", 0, -ENOMEM);
	for (i = 0; i < b->plan->area_count; i++)
		b->marks[i] = 0;
	each_piece(b, piece_mark);
	for (i = 0; i < b->plan->area_count; i++)
		map_area(b, i);
	each_piece(b, piece_open);
}

/* ---- the last touch ---- */

static const struct {
	uint32_t flag;
	int advice;
	int must; /* the program counts on it */
} advices[] = {
	{AREA_DONTFORK, MADV_DONTFORK, 1},
	{AREA_WIPEONFORK, MADV_WIPEONFORK, 1},
	{AREA_DONTDUMP, MADV_DONTDUMP, 0},
	{AREA_MERGEABLE, MADV_MERGEABLE, 0},
	{AREA_SEQ_READ, MADV_SEQUENTIAL, 0},
	{AREA_RAND_READ, MADV_RANDOM, 0},
};

static void advise(struct bare *b, const struct bare_area *a)
{
	size_t i;
	long ret;

	for (i = 0; i < sizeof(advices) / sizeof(*advices); i++) {
		if (!(a->advice & advices[i].flag))
			continue;
		ret = sys_madvise(at(a->start), a->end - a->start,
				  advices[i].advice);
		if (ret < 0 && advices[i].must)
			bare_fail(b, "advice for memory at", a->start, ret);
	}
}

/* Without guard regions (before 6.13) protection does the same. */
static void guard(struct bare *b, const struct bare_area *a)
{
	uint64_t i;
	long ret;

	for (i = a->guards; i < (uint64_t)a->guards + a->guard_count; i++) {
		const struct image_guard *g = &b->plan->guards[i];

		ret = sys_madvise(at(g->start), g->end - g->start,
				  MADV_GUARD_INSTALL);
		if (ret == -EINVAL)
			ret = sys_mprotect(at(g->start), g->end - g->start,
					   PROT_NONE);
		if (ret < 0)
			bare_fail(b, "guard pages at", g->start, ret);
	}
}

static void finish_area(struct bare *b, uint64_t area)
{
	const struct bare_area *a = &b->plan->areas[area];
	uint64_t length = a->end - a->start;
	long ret = 0;

	if (a->flags & BARE_PLACEHOLDER)
		return;
	if (a->pkey)
		ret = SYS_CALL(SYS_pkey_mprotect, at(a->start), length,
			       a->prot, a->pkey);
	if ((a->pkey && ret < 0) || b->marks[area] || a->flags & BARE_MOVE)
		ret = sys_mprotect(at(a->start), length, (int)a->prot);
	if (ret < 0)
		bare_fail(b, "protecting memory at", a->start, ret);
	advise(b, a);
	guard(b, a);
	if (a->name) /* for people only */
		SYS_CALL(SYS_prctl, PR_SET_VMA, PR_SET_VMA_ANON_NAME, a->start,
			 length, a->name);
	/* The limit may be lower here than it was there: unlocked memory is
	 * slower, no memory is fatal. */
	if (a->advice & (AREA_LOCKED | AREA_LOCKONFAULT))
		SYS_CALL(SYS_mlock2, a->start, length,
			 a->advice & AREA_LOCKONFAULT ? 1 /* ONFAULT */ : 0);
}

/* Keys are given out in ascending order, so those below come along. */
static void allocate_pkeys(const struct bare_plan *p)
{
	uint32_t highest = 0;
	uint64_t i;
	long key;

	for (i = 0; i < p->area_count; i++)
		if (p->areas[i].pkey > highest)
			highest = p->areas[i].pkey;
	if (highest == 0)
		return;
	do {
		key = SYS_CALL(SYS_pkey_alloc, 0, 0);
	} while (key >= 0 && key < (long)highest);
}

void bare_finish(struct bare *b)
{
	uint64_t i;

	allocate_pkeys(b->plan);
	for (i = 0; i < b->plan->area_count; i++)
		finish_area(b, i);
}
