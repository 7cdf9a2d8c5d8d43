// SPDX-License-Identifier: MIT
/*
 * Writing an image: see writer.h. No libc, no TLS; the memory that is written
 * is only read, never touched.
 *
 * Each thread takes up to IMAGE_BLOCK_MAX bytes of the runs at a time, leaves
 * the zero pages out, gathers what stays in its block, and writes the block
 * when the next piece would not fit. What several threads share is under one
 * lock, held for a few instructions: the place in the runs, the index, the
 * end of the file.
 */
#include <errno.h>
#include <linux/sysinfo.h>
#include <linux/prctl.h>
#include <lz4.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "image/hash.h"
#include "image/writer.h"
#include "sys/sys.h"
#include "sys/thread.h"
#include "wire/service.h"

#define PAGE 4096u
#define THREADS_MAX 64u
#define EXTENTS_MAX (IMAGE_BLOCK_MAX / PAGE) /* of one block */
#define STACK_SIZE (64u << 10)
#define KICK_BYTES (32ull << 20) /* start the disk whenever so much came */
#define REPORT_NS 100000000ull

/* Auto compression. After a block that gained nothing, the next is compressed
 * only if samples of it gain; after several, one sample must do. */
#define SAMPLE 8192u
#define SAMPLES 4u
#define BORED 4u

#define COPIED (RUN_UNREADABLE | RUN_UNSTABLE | RUN_TRIM_FAULTS)

struct run {
	uint64_t addr, length;
	uint32_t flags, pad;
};

struct piece {
	uint64_t addr;
	uint32_t length, flags;
};

/* One block being gathered, by one thread. */
struct worker {
	struct image_writer *w;
	const struct image_progress *progress; /* the caller's own only */
	uint64_t reported;
	struct image_extent extents[EXTENTS_MAX];
	uint32_t count;
	uint32_t raw;
	int copied;	/* the pages stand in `in` */
	uint32_t bored; /* blocks in a row that gained nothing */
	uint32_t turn;
	struct piece pieces[EXTENTS_MAX];
	struct image_extent fresh[EXTENTS_MAX]; /* of the pieces, zeros left out */
	uint32_t fresh_count;
	struct iovec iov[EXTENTS_MAX];
	XXH3_state_t hash;
	struct sys_thread thread;
	unsigned char lz4[LZ4_STREAM_MINSIZE] __attribute__((aligned(64)));
	unsigned char in[IMAGE_BLOCK_MAX] __attribute__((aligned(4096)));
	unsigned char out[IMAGE_BLOCK_MAX] __attribute__((aligned(4096)));
	unsigned char stack[STACK_SIZE] __attribute__((aligned(4096)));
};

struct image_writer {
	uint64_t base, length;
	int fd;
	int mem_fd; /* /proc/self/mem, -1: not needed so far */
	uint32_t compress, threads;
	int error;	  /* the first; atomic */
	int records_done; /* they are in the file */

	unsigned char *records;
	size_t records_length, records_max;
	size_t record; /* where the open one begins */

	struct run *runs;
	size_t run_count, runs_max;
	uint64_t total;

	/* Under the lock while threads run: */
	uint32_t lock;
	size_t next_run;
	uint64_t next_offset;
	struct image_block *blocks;
	uint64_t block_count, blocks_max;
	struct image_extent *extents;
	uint64_t extent_count, extents_max;
	uint64_t file_end, kicked;

	uint64_t raw_bytes, stored_bytes; /* in the file */
	uint64_t raw_seen;		  /* for the report: zeros included */
	XXH3_state_t hash;
	unsigned char header[IMAGE_HEADER_SIZE] __attribute__((aligned(64)));
	struct worker workers[];
};

static uint64_t min64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t align_up(uint64_t n, uint64_t to)
{
	return (n + to - 1) & -to;
}

static void *at(uint64_t addr)
{
	return (void *)(uintptr_t)addr;
}

static int failed(const struct image_writer *w)
{
	return __atomic_load_n(&w->error, __ATOMIC_RELAXED);
}

static int fail(struct image_writer *w, long error)
{
	int none = 0;

	__atomic_compare_exchange_n(&w->error, &none, (int)error, 0,
				    __ATOMIC_RELAXED, __ATOMIC_RELAXED);
	return (int)error;
}

/* 0 free, 1 held, 2 held and waited for */
static void lock(struct image_writer *w)
{
	uint32_t was = 0;

	if (__atomic_compare_exchange_n(&w->lock, &was, 1, 0, __ATOMIC_ACQUIRE,
					__ATOMIC_RELAXED))
		return;
	while (__atomic_exchange_n(&w->lock, 2, __ATOMIC_ACQUIRE) != 0)
		sys_futex(&w->lock, FUTEX_WAIT_PRIVATE, 2, NULL);
}

static void unlock(struct image_writer *w)
{
	if (__atomic_exchange_n(&w->lock, 0, __ATOMIC_RELEASE) == 2)
		sys_futex(&w->lock, FUTEX_WAKE_PRIVATE, 1, NULL);
}

/* ---- opening ---- */

/* How many pages can there be to write? No more than fit into memory and
 * swap, and twice that for those that can be read again from files. */
static uint64_t pages_possible(void)
{
	struct sysinfo info;

	if (SYS_CALL(SYS_sysinfo, &info) < 0)
		return 1ull << 24;
	return (info.totalram + info.totalswap) * info.mem_unit / PAGE * 2;
}

static uint64_t place(uint64_t *end, uint64_t bytes)
{
	uint64_t start = *end;

	*end = align_up(start + bytes, PAGE);
	return start;
}

/* In a program that locks all its future memory, too, this is only what is
 * touched. */
static long map_reserve(uint64_t size)
{
	long map = sys_mmap(NULL, size, PROT_NONE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	long ret;

	if (map < 0)
		return map;
	SYS_CALL(SYS_munlock, map, size);
	ret = sys_mprotect(at((uint64_t)map), size, PROT_READ | PROT_WRITE);
	if (ret < 0)
		sys_munmap(at((uint64_t)map), size);
	return ret < 0 ? ret : map;
}

struct image_writer *image_writer_open(const struct image_writer_options *o,
				       uint64_t *base, uint64_t *length)
{
	uint32_t threads = (uint32_t)min64(o->threads ? o->threads : 1,
					   THREADS_MAX);
	uint64_t pages = pages_possible();
	uint64_t size, records, runs, blocks, extents, blocks_max;
	struct image_writer *w;
	long map;

	/* Address space is all that this takes; where even that is short
	 * (RLIMIT_AS) a smaller index will do most of the time. */
	for (;; pages /= 2) {
		size = 0;
		place(&size, sizeof(*w) + threads * sizeof(struct worker));
		records = place(&size, align_up(o->records_max, 8) + 8);
		runs = place(&size, o->runs_max * sizeof(struct run));
		blocks_max = pages / (EXTENTS_MAX / 2) + 2 * o->runs_max +
			     THREADS_MAX;
		blocks = place(&size, blocks_max * sizeof(struct image_block));
		extents = place(&size, pages / 2 * sizeof(struct image_extent));
		map = map_reserve(size);
		if (map >= 0)
			break;
		if (pages < 1u << 16)
			return NULL;
	}
	w = at((uint64_t)map);
	w->base = (uint64_t)map;
	w->length = size;
	w->fd = o->fd;
	w->mem_fd = -1;
	w->compress = o->compress;
	w->threads = threads;
	w->records = at(w->base + records);
	w->records_max = align_up(o->records_max, 8);
	w->runs = at(w->base + runs);
	w->runs_max = o->runs_max;
	w->blocks = at(w->base + blocks);
	w->blocks_max = blocks_max;
	w->extents = at(w->base + extents);
	w->extents_max = pages / 2;
	*base = w->base;
	*length = w->length;
	return w;
}

void image_writer_close(struct image_writer *w)
{
	if (w->mem_fd >= 0)
		sys_close(w->mem_fd);
	sys_munmap(at(w->base), w->length);
}

int image_writer_error(const struct image_writer *w)
{
	return failed(w);
}

/* ---- records ---- */

void image_record_begin(struct image_writer *w, uint32_t kind,
			uint16_t version)
{
	struct image_record head = {.kind = kind, .version = version};

	w->record = w->records_length;
	image_record_put(w, &head, sizeof(head));
}

void image_record_put(struct image_writer *w, const void *data, size_t length)
{
	if (length > w->records_max - w->records_length) {
		fail(w, -EOVERFLOW);
		return;
	}
	__builtin_memcpy(w->records + w->records_length, data, length);
	w->records_length += length;
}

void image_record_end(struct image_writer *w)
{
	struct image_record *head;

	if (failed(w))
		return;
	head = (struct image_record *)(w->records + w->record);
	head->length = w->records_length - w->record - sizeof(*head);
	/* The memory is new, the padding zero. */
	w->records_length = align_up(w->records_length, 8);
}

/* ---- runs ---- */

void image_pages_add(struct image_writer *w, uint64_t addr, uint64_t length,
		     uint32_t flags)
{
	struct run *last = w->run_count ? &w->runs[w->run_count - 1] : NULL;

	if (length == 0)
		return;
	if ((addr | length) & (PAGE - 1)) {
		fail(w, -EINVAL);
		return;
	}
	w->total += length;
	if (last && last->addr + last->length == addr && last->flags == flags) {
		last->length += length;
		return;
	}
	if (w->run_count == w->runs_max) {
		fail(w, -EOVERFLOW);
		return;
	}
	w->runs[w->run_count++] =
		(struct run){.addr = addr, .length = length, .flags = flags};
}

uint64_t image_pages_total(const struct image_writer *w)
{
	return w->total;
}

/* ---- the file ---- */

static int write_at(struct image_writer *w, const void *data, size_t length,
		    uint64_t offset)
{
	const unsigned char *p = data;

	while (length) {
		long n = sys_pwrite(w->fd, p, length, offset);

		if (n == -EINTR)
			continue;
		if (n <= 0)
			return fail(w, n ? n : -EIO);
		p += n;
		offset += (uint64_t)n;
		length -= (size_t)n;
	}
	return 0;
}

static int write_vector(struct image_writer *w, struct iovec *iov,
			uint32_t count, uint64_t offset)
{
	while (count) {
		long n = SYS_CALL(SYS_pwritev, w->fd, iov, count, offset, 0);

		if (n == -EINTR)
			continue;
		if (n <= 0)
			return fail(w, n ? n : -EIO);
		offset += (uint64_t)n;
		for (; count && (size_t)n >= iov->iov_len; iov++, count--)
			n -= (long)iov->iov_len;
		if (count) {
			iov->iov_base = (char *)iov->iov_base + n;
			iov->iov_len -= (size_t)n;
		}
	}
	return 0;
}

static int sync_file(struct image_writer *w)
{
	long ret;

	do {
		ret = SYS_CALL(SYS_fsync, w->fd);
	} while (ret == -EINTR);
	return ret < 0 ? fail(w, ret) : 0;
}

static void write_records(struct image_writer *w)
{
	if (w->records_done)
		return;
	w->records_done = 1;
	w->file_end = IMAGE_HEADER_SIZE + w->records_length;
	w->kicked = 0;
	write_at(w, w->records, w->records_length, IMAGE_HEADER_SIZE);
}

/* Gives a block its place in the index and in the file. */
static int block_place(struct worker *me, struct image_block *b)
{
	struct image_writer *w = me->w;
	uint64_t kick = 0, from = 0;
	int ret = -ENOMEM;

	lock(w);
	if (w->block_count < w->blocks_max &&
	    w->extent_count + me->count <= w->extents_max) {
		if (b->codec == IMAGE_RAW)
			w->file_end = align_up(w->file_end, PAGE);
		b->offset = w->file_end;
		b->first_extent = w->extent_count;
		w->file_end += b->stored;
		w->blocks[w->block_count++] = *b;
		__builtin_memcpy(w->extents + w->extent_count, me->extents,
				 me->count * sizeof(*me->extents));
		w->extent_count += me->count;
		w->raw_bytes += b->raw;
		w->stored_bytes += b->stored;
		if (w->file_end - w->kicked >= 2 * KICK_BYTES) {
			from = w->kicked;
			kick = KICK_BYTES;
			w->kicked += kick;
		}
		ret = 0;
	}
	unlock(w);
	if (ret < 0)
		return fail(w, ret);
	/* The disk works on what is written while we compress. Only a hint:
	 * fsync() tells about errors. */
	if (kick)
		SYS_CALL(SYS_sync_file_range, w->fd, from, kick,
			 2 /* SYNC_FILE_RANGE_WRITE */);
	return 0;
}

/* ---- blocks ---- */

/* The contiguous pages from byte `pos` of the block on, at most `length`. */
static const unsigned char *block_bytes(const struct worker *me, uint32_t pos,
					uint32_t *length)
{
	const struct image_extent *e = me->extents;

	if (me->copied) {
		*length = (uint32_t)min64(*length, me->raw - pos);
		return me->in + pos;
	}
	for (; pos >= e->length; e++)
		pos -= (uint32_t)e->length;
	*length = (uint32_t)min64(*length, e->length - pos);
	return at(e->addr + pos);
}

static uint32_t lz4(struct worker *me, const void *data, uint32_t length,
		    uint32_t most)
{
	int n = LZ4_compress_fast_extState(me->lz4, data, (char *)me->out,
					   (int)length, (int)most, 1);

	return n > 0 ? (uint32_t)n : 0;
}

static int block_worthwhile(struct worker *me)
{
	uint32_t samples = me->bored >= BORED ? 1 : SAMPLES;
	uint32_t step = me->raw / samples & -PAGE;
	uint32_t pos = samples == 1 ? me->turn++ * 5 * PAGE % me->raw : 0;
	uint32_t sampled = 0, stored = 0, n, i;

	if (me->bored == 0 || me->raw <= SAMPLES * SAMPLE)
		return 1;
	for (i = 0; i < samples; i++, pos += step) {
		uint32_t length = SAMPLE;
		const void *p = block_bytes(me, pos & -PAGE, &length);

		n = lz4(me, p, length, length);
		sampled += length;
		stored += n ? n : length;
	}
	return stored < sampled / 100 * 93;
}

static const void *block_gathered(struct worker *me)
{
	unsigned char *to = me->in;
	uint32_t i;

	if (me->copied)
		return me->in;
	if (me->count == 1)
		return at(me->extents[0].addr);
	for (i = 0; i < me->count; i++) {
		__builtin_memcpy(to, at(me->extents[i].addr),
				 me->extents[i].length);
		to += me->extents[i].length;
	}
	return me->in;
}

/* The compressed size, now in me->out; 0: better leave it raw. */
static uint32_t block_compress(struct worker *me)
{
	uint32_t stored = 0;

	switch (me->w->compress) {
	case COMPRESS_NONE:
		return 0;
	case COMPRESS_LZ4:
		return lz4(me, block_gathered(me), me->raw, me->raw - 1);
	default:
		if (block_worthwhile(me))
			stored = lz4(me, block_gathered(me), me->raw,
				     me->raw / 10 * 9);
		me->bored = stored ? 0 : me->bored + 1;
		return stored;
	}
}

static void block_write_raw(struct worker *me, struct image_block *b)
{
	uint32_t i, n = me->copied ? 1 : me->count;

	b->codec = IMAGE_RAW;
	b->stored = b->raw;
	XXH3_64bits_reset(&me->hash);
	for (i = 0; i < n; i++) {
		struct iovec *v = &me->iov[i];

		v->iov_base = me->copied ? me->in : at(me->extents[i].addr);
		v->iov_len = me->copied ? me->raw : me->extents[i].length;
		if (n == 1)
			b->hash = image_hash(v->iov_base, v->iov_len);
		else
			XXH3_64bits_update(&me->hash, v->iov_base, v->iov_len);
	}
	if (n != 1)
		b->hash = XXH3_64bits_digest(&me->hash);
	if (block_place(me, b) == 0)
		write_vector(me->w, me->iov, n, b->offset);
}

static void block_flush(struct worker *me)
{
	struct image_block b = {.raw = me->raw, .extents = me->count};

	if (me->raw && !failed(me->w)) {
		b.stored = block_compress(me);
		if (b.stored) {
			b.codec = IMAGE_LZ4;
			b.hash = image_hash(me->out, b.stored);
			if (block_place(me, &b) == 0)
				write_at(me->w, me->out, b.stored, b.offset);
		} else {
			block_write_raw(me, &b);
		}
	}
	me->raw = 0;
	me->count = 0;
}

/* ---- gathering ---- */

static int page_is_zero(const void *page)
{
	const uint64_t *p = page, *end = p + PAGE / sizeof(*p);

	for (; p < end; p += 8)
		if (p[0] | p[1] | p[2] | p[3] | p[4] | p[5] | p[6] | p[7])
			return 0;
	return 1;
}

static void extent_append(struct image_extent *list, uint32_t *count,
			  uint64_t addr, uint64_t length)
{
	struct image_extent *last = *count ? &list[*count - 1] : NULL;

	if (last && last->addr + last->length == addr)
		last->length += length;
	else
		list[(*count)++] = (struct image_extent){addr, length};
}

/* The process itself may be one that nobody may look into (not dumpable):
 * then the file belongs to root. It is our own memory, so we may. */
static int mem_open(void)
{
	long fd = sys_openat(AT_FDCWD, "/proc/self/mem", O_RDONLY | O_CLOEXEC,
			     0);
	long dumpable;

	if (fd != -EACCES)
		return (int)fd;
	dumpable = SYS_CALL(SYS_prctl, PR_GET_DUMPABLE);
	if (SYS_CALL(SYS_prctl, PR_SET_DUMPABLE, 1) < 0)
		return (int)fd;
	fd = sys_openat(AT_FDCWD, "/proc/self/mem", O_RDONLY | O_CLOEXEC, 0);
	/* Only root can set 2 again by hand; 0 is as closed. */
	SYS_CALL(SYS_prctl, PR_SET_DUMPABLE, dumpable == 1);
	return (int)fd;
}

/* Opened by the one who reads, not before: a fork-like child must not read
 * its parent's. */
static int mem_fd(struct image_writer *w)
{
	int fd;

	lock(w);
	if (w->mem_fd < 0)
		w->mem_fd = mem_open();
	fd = w->mem_fd;
	unlock(w);
	return fd;
}

/* Copies one page or many as far as they can be read. Bytes or -errno. */
static long copy_some(struct image_writer *w, uint64_t addr, void *to,
		      uint64_t length, uint32_t flags)
{
	struct iovec local = {.iov_base = to, .iov_len = length};
	struct iovec remote = {.iov_base = at(addr), .iov_len = length};
	int fd = mem_fd(w);
	long n;

	if (fd >= 0) {
		n = sys_pread(fd, to, length, addr);
		if (n == 0)
			n = -EIO;
	} else if (flags & RUN_UNREADABLE) {
		n = fd;
	} else {
		n = SYS_CALL(SYS_process_vm_readv, sys_getpid(), &local, 1,
			     &remote, 1, 0);
	}
	return n > 0 ? (n & -(long)PAGE ? n & -(long)PAGE : -EFAULT) : n;
}

/* Copies a piece to the end of me->in, zero and lost pages left out. */
static void gather_copy(struct worker *me, const struct piece *p)
{
	uint64_t done = 0, n, i;

	while (done < p->length && !failed(me->w)) {
		unsigned char *to = me->in + me->raw;
		long got = p->length - done;

		if (p->flags & (RUN_UNREADABLE | RUN_TRIM_FAULTS))
			got = copy_some(me->w, p->addr + done, to,
					p->length - done, p->flags);
		else
			__builtin_memcpy(to, at(p->addr + done), (size_t)got);
		if (got == -EINTR)
			continue;
		if (got < 0 && p->flags & RUN_TRIM_FAULTS) {
			done += PAGE;
			continue;
		}
		if (got < 0) {
			fail(me->w, got);
			return;
		}
		for (i = 0, n = 0; i < (uint64_t)got; i += PAGE) {
			if (page_is_zero(to + i))
				continue;
			if (n != i)
				__builtin_memcpy(to + n, to + i, PAGE);
			n += PAGE;
			extent_append(me->extents, &me->count,
				      p->addr + done + i, PAGE);
		}
		me->raw += (uint32_t)n;
		done += (uint64_t)got;
	}
}

static void gather_in_place(struct worker *me, const struct piece *p)
{
	uint64_t addr = p->addr, end = addr + p->length;

	for (; addr < end; addr += PAGE)
		if (!page_is_zero(at(addr)))
			extent_append(me->fresh, &me->fresh_count, addr, PAGE);
}

/* The next pieces, all to be copied or none; at most a block's worth. Large
 * runs are cut at multiples of the block size, so that the blocks of dense
 * memory are aligned. */
static uint32_t take(struct worker *me, uint64_t *total, int *copied)
{
	struct image_writer *w = me->w;
	uint32_t n = 0;

	*total = 0;
	lock(w);
	while (w->next_run < w->run_count && *total < IMAGE_BLOCK_MAX) {
		const struct run *r = &w->runs[w->next_run];
		uint64_t addr = r->addr + w->next_offset;
		uint64_t left = r->length - w->next_offset;
		uint64_t border = align_up(addr + 1, IMAGE_BLOCK_MAX) - addr;
		uint64_t length = min64(left, border);

		if (n && *copied != ((r->flags & COPIED) != 0))
			break;
		*copied = (r->flags & COPIED) != 0;
		length = min64(length, IMAGE_BLOCK_MAX - *total);
		me->pieces[n++] = (struct piece){addr, (uint32_t)length,
						 r->flags};
		*total += length;
		w->next_offset += length;
		if (length < left)
			break;
		w->next_run++;
		w->next_offset = 0;
	}
	unlock(w);
	return n;
}

static void gather(struct worker *me, uint32_t pieces, uint64_t total,
		   int copied)
{
	uint64_t fresh = 0;
	uint32_t i;

	if (me->copied != copied)
		block_flush(me);
	me->copied = copied;
	if (copied) {
		if (me->raw + total > IMAGE_BLOCK_MAX)
			block_flush(me);
		for (i = 0; i < pieces; i++)
			gather_copy(me, &me->pieces[i]);
		return;
	}
	me->fresh_count = 0;
	for (i = 0; i < pieces; i++)
		gather_in_place(me, &me->pieces[i]);
	for (i = 0; i < me->fresh_count; i++)
		fresh += me->fresh[i].length;
	if (me->raw + fresh > IMAGE_BLOCK_MAX)
		block_flush(me);
	for (i = 0; i < me->fresh_count; i++)
		extent_append(me->extents, &me->count, me->fresh[i].addr,
			      me->fresh[i].length);
	me->raw += (uint32_t)fresh;
}

static void report(struct worker *me)
{
	struct image_writer *w = me->w;
	uint64_t now;

	if (!me->progress || !me->progress->report)
		return;
	now = sys_clock_ns(1 /* CLOCK_MONOTONIC */);
	if (now - me->reported < REPORT_NS)
		return;
	me->reported = now;
	me->progress->report(me->progress->data,
			     __atomic_load_n(&w->raw_seen, __ATOMIC_RELAXED),
			     __atomic_load_n(&w->stored_bytes,
					     __ATOMIC_RELAXED));
}

static void work(void *argument)
{
	struct worker *me = argument;
	uint64_t total;
	uint32_t pieces;
	int copied = 0;

	while (!failed(me->w) && (pieces = take(me, &total, &copied)) != 0) {
		gather(me, pieces, total, copied);
		if (me->raw >= IMAGE_BLOCK_MAX / 2)
			block_flush(me);
		__atomic_add_fetch(&me->w->raw_seen, total, __ATOMIC_RELAXED);
		report(me);
	}
	block_flush(me);
}

void image_pages_write(struct image_writer *w, const struct image_progress *p)
{
	const struct __kernel_timespec patience = {0, REPORT_NS};
	uint32_t i;

	write_records(w);
	for (i = 0; i < w->threads; i++)
		w->workers[i].w = w;
	w->workers[0].progress = p;
	/* Those that do not come, for whatever limit, are done without. */
	for (i = 1; i < w->threads && i < w->total / IMAGE_BLOCK_MAX + 1; i++)
		if (sys_thread_start(&w->workers[i].thread, w->workers[i].stack,
				     STACK_SIZE, 0, work, &w->workers[i]) < 0)
			break;
	work(&w->workers[0]);
	while (--i > 0)
		while (sys_thread_wait(&w->workers[i].thread, &patience))
			report(&w->workers[0]);
}

/* ---- the end ---- */

static void write_index(struct image_writer *w, struct image_header *h)
{
	size_t blocks = w->block_count * sizeof(*w->blocks);
	size_t extents = w->extent_count * sizeof(*w->extents);

	h->index_offset = align_up(w->file_end, 8);
	h->block_count = w->block_count;
	h->extent_count = w->extent_count;
	h->file_size = h->index_offset + blocks + extents;
	XXH3_64bits_reset(&w->hash);
	XXH3_64bits_update(&w->hash, w->blocks, blocks);
	XXH3_64bits_update(&w->hash, w->extents, extents);
	h->index_hash = XXH3_64bits_digest(&w->hash);
	write_at(w, w->blocks, blocks, h->index_offset);
	write_at(w, w->extents, extents, h->index_offset + blocks);
}

int image_writer_finish(struct image_writer *w, struct image_header *h)
{
	long ret;

	write_records(w);
	if (failed(w))
		return failed(w);
	__builtin_memcpy(h->magic, IMAGE_MAGIC, sizeof(h->magic));
	h->version = IMAGE_VERSION;
	h->arch = IMAGE_ARCH_X86_64;
	h->page_size = PAGE;
	h->header_size = sizeof(*h);
	h->features = 0;
	h->records_offset = IMAGE_HEADER_SIZE;
	h->records_length = w->records_length;
	h->records_hash = image_hash(w->records, w->records_length);
	h->raw_bytes = w->raw_bytes;
	h->stored_bytes = w->stored_bytes;
	write_index(w, h);
	/* An empty index ends in a gap that nothing was written to. */
	ret = SYS_CALL(SYS_ftruncate, w->fd, h->file_size);
	if (ret < 0)
		fail(w, ret);
	h->header_hash = image_header_hash(h);
	__builtin_memcpy(w->header, h, sizeof(*h));
	/* The header goes to disk when all else is there. */
	if (failed(w) || sync_file(w) < 0)
		return failed(w);
	write_at(w, w->header, sizeof(w->header), 0);
	sync_file(w);
	return failed(w);
}
