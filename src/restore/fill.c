// SPDX-License-Identifier: MIT
/*
 * Page data from the image into the areas, which stand there writable. Every
 * block is checked against its hash. Threads take the next block each; when
 * bare_fill() returns, they are gone and so are their tids.
 */
#include <errno.h>
#include <fcntl.h>
#include <lz4.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "image/hash.h"
#include "restore/steps.h"
#include "sys/sys.h"
#include "sys/thread.h"

#define EXTENTS_MAX (IMAGE_BLOCK_MAX / PAGE)
#define STACK_SIZE (32u << 10)
#define THREADS_MAX 64u

/* Pages that are asked for together come faster than by a fault each. */
#define POPULATE_MIN (8 * PAGE)
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* 5.14 */
#endif

/* Lazy mode: each piece may become a mapping of its own, and the kernel allows
 * 65530 of them by default. */
#define LAZY_PIECES_MAX 30000u

struct fill {
	struct bare *b;
	uint64_t next;	/* block; atomic */
	uint64_t lazy;	/* of the blocks below this, the mappable are mapped */
};

struct filler {
	unsigned char stored[IMAGE_BLOCK_MAX]; /* as in the file */
	unsigned char pages[IMAGE_BLOCK_MAX];  /* for more than one extent */
	unsigned char stack[STACK_SIZE];
	struct iovec iov[EXTENTS_MAX];
	XXH3_state_t hash;
	struct sys_thread thread;
	struct fill *fill;
	long tid;
};
_Static_assert(sizeof(struct filler) <= BARE_THREAD_BUFFER, "bare.h");

static void *at(uint64_t addr)
{
	return (void *)(uintptr_t)addr;
}

static const struct image_extent *extents_of(const struct bare *b,
					     const struct image_block *k)
{
	return b->plan->extents + k->first_extent;
}

/* ---- reading ---- */

static void read_vector(struct bare *b, struct iovec *iov, uint32_t count,
			uint64_t offset)
{
	long n;

	while (count) {
		n = SYS_CALL(SYS_preadv, b->plan->image_fd, iov, count, offset,
			     0);
		if (n == -EINTR)
			continue;
		if (n <= 0)
			bare_fail(b, "reading the image at (hex)", offset,
				  n ? n : -EIO);
		offset += (uint64_t)n;
		for (; count && (size_t)n >= iov->iov_len; iov++, count--)
			n -= (long)iov->iov_len;
		if (count) {
			iov->iov_base = (char *)iov->iov_base + n;
			iov->iov_len -= (size_t)n;
		}
	}
}

static void damaged(struct bare *b, const struct image_block *k)
{
	bare_fail(b, "damaged image: block at (hex)", k->offset, -EBADMSG);
}

static void populate(const struct image_extent *e)
{
	if (e->length >= POPULATE_MIN)
		sys_madvise(at(e->addr), e->length, MADV_POPULATE_WRITE);
}

static void fill_raw(struct filler *me, const struct image_block *k)
{
	struct bare *b = me->fill->b;
	const struct image_extent *e = extents_of(b, k);
	uint64_t hash;
	uint32_t i;

	for (i = 0; i < k->extents; i++) {
		me->iov[i] = (struct iovec){at(e[i].addr), e[i].length};
		populate(&e[i]);
	}
	read_vector(b, me->iov, k->extents, k->offset);
	if (k->extents == 1) {
		hash = image_hash(at(e->addr), k->raw);
	} else {
		XXH3_64bits_reset(&me->hash);
		for (i = 0; i < k->extents; i++)
			XXH3_64bits_update(&me->hash, at(e[i].addr),
					   e[i].length);
		hash = XXH3_64bits_digest(&me->hash);
	}
	if (hash != k->hash)
		damaged(b, k);
}

static void fill_lz4(struct filler *me, const struct image_block *k)
{
	struct bare *b = me->fill->b;
	const struct image_extent *e = extents_of(b, k);
	unsigned char *to = k->extents == 1 ? at(e->addr) : me->pages;
	uint32_t i;

	me->iov[0] = (struct iovec){me->stored, k->stored};
	if (k->extents == 1)
		populate(e);
	read_vector(b, me->iov, 1, k->offset);
	if (image_hash(me->stored, k->stored) != k->hash ||
	    LZ4_decompress_safe((char *)me->stored, (char *)to, (int)k->stored,
				(int)k->raw) != (int)k->raw)
		damaged(b, k);
	for (i = 0; k->extents != 1 && i < k->extents; i++) {
		populate(&e[i]);
		__builtin_memcpy(at(e[i].addr), to, e[i].length);
		to += e[i].length;
	}
}

/* ---- mapping instead of reading ---- */

static int block_mappable(const struct bare *b, const struct image_block *k)
{
	const struct image_extent *e = extents_of(b, k);
	uint32_t i;

	if (k->codec != IMAGE_RAW)
		return 0;
	for (i = 0; i < k->extents; i++) {
		const struct bare_area *a =
			&b->plan->areas[bare_area_at(b->plan, e[i].addr)];

		if (a->fd >= 0 || e[i].addr + e[i].length > a->end ||
		    a->flags & (BARE_GROWSDOWN | BARE_SHARED | BARE_HUGETLB) ||
		    a->advice & (AREA_WIPEONFORK | AREA_DROPPABLE))
			return 0;
	}
	return 1;
}

static void block_map(struct bare *b, const struct image_block *k)
{
	const struct image_extent *e = extents_of(b, k);
	uint64_t offset = k->offset;
	uint32_t i;
	long ret;

	for (i = 0; i < k->extents; offset += e[i++].length) {
		const struct bare_area *a =
			&b->plan->areas[bare_area_at(b->plan, e[i].addr)];

		ret = sys_mmap(at(e[i].addr), e[i].length, (int)a->prot,
			       MAP_FIXED | MAP_PRIVATE, b->plan->image_fd,
			       offset);
		if (ret < 0)
			bare_fail(b, "mapping the image at", e[i].addr, ret);
	}
}

/* By one thread, before the others: mappings take turns anyway. */
static void map_lazily(struct fill *f)
{
	const struct bare_plan *p = f->b->plan;
	uint64_t pieces = 0;

	for (; f->lazy < p->block_count; f->lazy++) {
		const struct image_block *k = &p->blocks[f->lazy];

		pieces += k->extents;
		if (pieces > LAZY_PIECES_MAX)
			break;
		if (block_mappable(f->b, k))
			block_map(f->b, k);
	}
}

/* ---- all of it ---- */

static void fill_blocks(void *argument)
{
	struct filler *me = argument;
	struct fill *f = me->fill;
	const struct bare_plan *p = f->b->plan;
	uint64_t i;

	while ((i = __atomic_fetch_add(&f->next, 1, __ATOMIC_RELAXED)) <
	       p->block_count) {
		const struct image_block *k = &p->blocks[i];

		if (i < f->lazy && block_mappable(f->b, k))
			continue;
		if (k->codec == IMAGE_RAW)
			fill_raw(me, k);
		else
			fill_lz4(me, k);
	}
}

/* Nothing of it in user space any more, and then not in the kernel either. */
static void await_gone(struct filler *helper)
{
	int pid = sys_getpid();

	sys_thread_wait(&helper->thread, NULL);
	while (SYS_CALL(SYS_tgkill, pid, helper->tid, 0) != -ESRCH)
		SYS_CALL(SYS_sched_yield);
}

void bare_fill(struct bare *b)
{
	const struct bare_plan *p = b->plan;
	uint64_t marks = (p->area_count + PAGE - 1) & -(uint64_t)PAGE;
	uint64_t most = marks < p->buffers_length
				? (p->buffers_length - marks) /
					  BARE_THREAD_BUFFER
				: 0;
	struct fill f = {.b = b};
	struct filler *me = at(p->buffers + marks), *helper;
	uint32_t n, i;

	if (most == 0)
		bare_fail(b, "buffers are too small", 0, -ENOMEM);
	if (most > p->fill_threads)
		most = p->fill_threads ? p->fill_threads : 1;
	if (most > THREADS_MAX)
		most = THREADS_MAX;
	if (most > p->block_count)
		most = p->block_count ? p->block_count : 1;
	if (p->readahead)
		SYS_CALL(SYS_fadvise64, p->image_fd, 0, 0, POSIX_FADV_WILLNEED);
	if (p->lazy)
		map_lazily(&f);
	me->fill = &f;
	for (n = 1; n < most; n++) {
		helper = (void *)((char *)me + n * (size_t)BARE_THREAD_BUFFER);
		helper->fill = &f;
		helper->tid = sys_thread_start(
			&helper->thread, helper->stack, STACK_SIZE,
			p->helper_tid ? p->helper_tid + (int)n : 0,
			fill_blocks, helper);
		if (helper->tid < 0)
			break; /* slower, not wrong */
	}
	fill_blocks(me);
	for (i = 1; i < n; i++)
		await_gone((void *)((char *)me +
				    i * (size_t)BARE_THREAD_BUFFER));
}
