/* SPDX-License-Identifier: MIT */
/*
 * Which pages of an area have to be written.
 *
 * Private memory: those of its own (anonymous, present or swapped), by
 * PAGEMAP_SCAN (Linux 6.7), else by reading /proc/self/pagemap. What costs
 * nothing is not looked at page by page: a terabyte that was only reserved has
 * no page tables. Guard pages (6.13) show up in the same scan.
 *
 * Shared memory: pages belong to the object, whether we have touched them or
 * not, so the object is asked.
 */
#define _GNU_SOURCE
#include <linux/sysinfo.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "preload/frozen/frozen.h"

/* linux/fs.h of Linux 6.7; older headers lack it. */
#define PAGE_FILE (1ull << 2)
#define PAGE_PRESENT (1ull << 3)
#define PAGE_SWAPPED (1ull << 4)
#define PAGE_PFNZERO (1ull << 5)
#define PAGE_GUARD (1ull << 8)

struct scan {
	uint64_t size, flags, start, end, walk_end, regions, region_count,
		max_pages, inverted, mask, anyof, returned;
};

struct region {
	uint64_t start, end, categories;
};

#define SCAN_IOCTL 0xc0606610ul /* _IOWR('f', 16, struct scan) */
_Static_assert(sizeof(struct scan) == 96, "the kernel's pm_scan_arg");

#define GUARD_INSTALL 102 /* MADV_ */

#define REGIONS 512u
#define ENTRIES 8192u /* of pagemap, a read */
#define MINCORE 65536u
#define EMPTY_MOST (1ull << 30) /* read_private() */

/* What of /proc/self/pagemap a 64-bit entry says. */
#define ENTRY_PRESENT (1ull << 63)
#define ENTRY_SWAPPED (1ull << 62)
#define ENTRY_FILE (1ull << 61)
#define ENTRY_GUARD (1ull << 58)

/* Guard pages exist since Linux 6.13, PAGE_GUARD since 6.16 or so. Between,
 * they look like swapped ones, but cannot be read. */
static uint64_t guard_bit; /* PAGE_GUARD where the kernel knows it */
static int guards_hidden;

int pages_open(void)
{
	return (int)sys_openat(AT_FDCWD, "/proc/thread-self/pagemap",
			       O_RDONLY | O_CLOEXEC, 0);
}

static long scan(int pagemap, struct scan *s, struct region *regions,
		 uint64_t count)
{
	s->size = sizeof(*s);
	s->regions = (uint64_t)regions;
	s->region_count = count;
	/* Own pages: neither of a file nor the one that is all zero. */
	s->inverted = s->mask = PAGE_FILE | PAGE_PFNZERO;
	s->returned = s->anyof & (guard_bit | PAGE_SWAPPED);
	return sys_ioctl(pagemap, SCAN_IOCTL, s);
}

static int probe(int pagemap, uint64_t anyof)
{
	uint64_t page = (uint64_t)&guard_bit & -(uint64_t)FROZEN_PAGE;
	struct scan s = {.start = page, .end = page + FROZEN_PAGE,
			 .anyof = anyof};
	struct region region;

	return scan(pagemap, &s, &region, 1) >= 0;
}

static int have_guards(void)
{
	long at = sys_mmap(NULL, FROZEN_PAGE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	long ret;

	if (at < 0 && at >= -4095)
		return 1;
	ret = sys_madvise((void *)at, FROZEN_PAGE, GUARD_INSTALL);
	sys_munmap((void *)at, FROZEN_PAGE);
	return ret == 0;
}

int pages_can_scan(void)
{
	int pagemap = pages_open();
	int ret = 0;

	guard_bit = 0;
	guards_hidden = have_guards();
	if (pagemap < 0)
		return 0;
	if (!frozen_masked("pagemap_scan"))
		ret = probe(pagemap, PAGE_PRESENT | PAGE_SWAPPED);
	if (ret && !frozen_masked("page_guard") &&
	    probe(pagemap, PAGE_PRESENT | PAGE_GUARD)) {
		guard_bit = PAGE_GUARD;
		guards_hidden = 0;
	}
	sys_close(pagemap);
	return ret;
}

int pages_any(int pagemap, uint64_t start, uint64_t end)
{
	struct scan s = {.start = start, .end = end, .max_pages = 1,
			 .anyof = PAGE_PRESENT | PAGE_SWAPPED};
	struct region region;

	return (int)scan(pagemap, &s, &region, 1);
}

/* ---- who wants to know ---- */

/* Runs of one area on their way to the writer. */
struct runs {
	const struct frozen_area *area;
	uint32_t flags;
	int own_memory;
	int error;
	uint64_t copy; /* address of the private copy, 0: none */
	struct image_guard *guards;
	uint32_t guard_count, guard_max;
};

typedef void range_found(struct runs *r, uint64_t start, uint64_t end);

/* An area that cannot be read is made readable before it gets a run, where
 * that is nobody else's memory. */
static void unlock(struct runs *r)
{
	const struct frozen_area *a = r->area;
	long ret;

	if ((a->prot & PROT_READ) || (r->flags & RUN_UNREADABLE))
		return;
	if (!r->own_memory) {
		r->flags |= RUN_UNREADABLE;
		return;
	}
	ret = sys_mprotect((void *)a->start, a->end - a->start,
			   (int)(a->prot | PROT_READ));
	if (ret < 0)
		r->flags |= RUN_UNREADABLE;
}

static void add_run(struct runs *r, uint64_t start, uint64_t end)
{
	unlock(r);
	image_pages_add(frozen.writer, start, end - start, r->flags);
}

/* Page by page, and what cannot be read (beyond the end of a file) not. */
static void copy_carefully(uint64_t to, uint64_t from, uint64_t end)
{
	for (; from < end; from += FROZEN_PAGE, to += FROZEN_PAGE) {
		struct iovec mine = {(void *)to, FROZEN_PAGE};
		struct iovec there = {(void *)from, FROZEN_PAGE};

		SYS_CALL(SYS_process_vm_readv, sys_getpid(), &mine, 1, &there,
			 1, 0);
	}
}

static void copy_run(struct runs *r, uint64_t start, uint64_t end)
{
	const struct frozen_area *a = r->area;
	uint64_t length = a->end - a->start;
	long at;

	if (r->error)
		return;
	if (!r->copy) {
		at = sys_mmap(NULL, length, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
			      0);
		if (at < 0 && at >= -4095) {
			r->error = (int)at;
			return;
		}
		r->copy = (uint64_t)at;
	}
	unlock(r);
	if (r->flags & RUN_TRIM_FAULTS)
		copy_carefully(r->copy + (start - a->start), start, end);
	else
		__builtin_memcpy((void *)(r->copy + (start - a->start)),
				 (void *)start, end - start);
}

/* Guards come in pieces, one behind the other. */
static void add_guard(struct runs *r, uint64_t start, uint64_t end)
{
	struct image_guard *last =
		r->guard_count ? &r->guards[r->guard_count - 1] : NULL;

	if (last && last->end == start) {
		last->end = end;
		return;
	}
	/* They grow at the end of the scratch range. */
	if (r->guard_count == r->guard_max) {
		struct image_guard *more = frozen_alloc(64 * sizeof(*more));

		if (!more) {
			r->error = -ENOMEM;
			return;
		}
		if (!r->guards)
			r->guards = more;
		r->guard_max += 64;
	}
	r->guards[r->guard_count++] = (struct image_guard){start, end};
}

/* ---- private memory ---- */

static int is_guard(uint64_t page)
{
	char byte;
	struct iovec mine = {&byte, 1}, there = {(void *)page, 1};

	return SYS_CALL(SYS_process_vm_readv, sys_getpid(), &mine, 1, &there, 1,
			0) == -EFAULT;
}

/* Swapped pages, or guards that look so. A guard cannot be read whatever the
 * protection says; the other way round, what has none is no guard. */
static void found_swapped(struct runs *r, range_found *found, uint64_t start,
			  uint64_t end)
{
	uint64_t at;

	if (!guards_hidden || !(r->area->prot & PROT_READ)) {
		found(r, start, end);
		return;
	}
	for (at = start; at < end; at += FROZEN_PAGE) {
		if (is_guard(at))
			add_guard(r, at, at + FROZEN_PAGE);
		else
			found(r, at, at + FROZEN_PAGE);
	}
}

static int scan_private(int pagemap, struct runs *r, range_found *found)
{
	static struct region regions[REGIONS];
	struct scan s = {
		.start = r->area->start,
		.end = r->area->end,
		.anyof = PAGE_PRESENT | PAGE_SWAPPED | guard_bit,
	};
	long n, i;

	while (s.start < s.end) {
		n = scan(pagemap, &s, regions, REGIONS);
		if (n < 0)
			return (int)n;
		for (i = 0; i < n; i++) {
			const struct region *g = &regions[i];

			if (g->categories & guard_bit)
				add_guard(r, g->start, g->end);
			else if (g->categories & PAGE_SWAPPED)
				found_swapped(r, found, g->start, g->end);
			else
				found(r, g->start, g->end);
		}
		s.start = s.walk_end;
	}
	return r->error;
}

enum page_kind {
	KIND_NONE,
	KIND_OWN,
	KIND_SWAPPED,
	KIND_GUARD,
};

static enum page_kind kind_of(uint64_t entry)
{
	if (entry & ENTRY_GUARD)
		return KIND_GUARD;
	if (entry & ENTRY_FILE)
		return KIND_NONE;
	if (entry & ENTRY_SWAPPED)
		return KIND_SWAPPED;
	return entry & ENTRY_PRESENT ? KIND_OWN : KIND_NONE;
}

static void found_kind(struct runs *r, range_found *found, enum page_kind kind,
		       uint64_t start, uint64_t end)
{
	if (kind == KIND_OWN)
		found(r, start, end);
	else if (kind == KIND_SWAPPED)
		found_swapped(r, found, start, end);
	else if (kind == KIND_GUARD)
		add_guard(r, start, end);
}

static int read_private(int pagemap, struct runs *r, range_found *found)
{
	static uint64_t entries[ENTRIES];
	uint64_t at = r->area->start, from = at;
	enum page_kind kind = KIND_NONE, next;
	long n, i;

	/* Guards may be all there is; not in what takes seconds to read. */
	if (r->area->empty &&
	    (!guards_hidden || r->area->end - r->area->start > EMPTY_MOST))
		return 0;
	while (at < r->area->end) {
		uint64_t want = (r->area->end - at) / FROZEN_PAGE;

		if (want > ENTRIES)
			want = ENTRIES;
		n = sys_pread(pagemap, entries, want * sizeof(*entries),
			      at / FROZEN_PAGE * sizeof(*entries));
		if (n <= 0)
			return n ? (int)n : -EIO;
		n /= (long)sizeof(*entries);
		for (i = 0; i < n; i++, at += FROZEN_PAGE) {
			next = kind_of(entries[i]);
			if (next == kind)
				continue;
			found_kind(r, found, kind, from, at);
			kind = next;
			from = at;
		}
	}
	found_kind(r, found, kind, from, at);
	return r->error;
}

static int each_private(int pagemap, struct runs *r, range_found *found)
{
	return frozen.can_scan ? scan_private(pagemap, r, found)
			       : read_private(pagemap, r, found);
}

/* ---- shared memory ---- */

/* What of the object's bytes [from, to) no earlier area has: several areas
 * of one object show the same pages. */
static void found_first(struct runs *r, range_found *found, uint64_t from,
			uint64_t to)
{
	const struct frozen_area *a = r->area, *b;

	while (from < to) {
		uint64_t next = to;

		for (b = frozen.areas; b < a; b++) {
			uint64_t end = b->offset + (b->end - b->start);

			if (b->type != a->type || b->file != a->file ||
			    b->elsewhere || end <= from)
				continue;
			if (b->offset <= from) {
				from = end;
				break;
			}
			if (b->offset < next)
				next = b->offset;
		}
		if (b < a)
			continue;
		found(r, a->start + (from - a->offset),
		      a->start + (next - a->offset));
		from = next;
	}
}

/* The object by a descriptor: the program's, or, with privileges, the
 * mapping's own. One of ours, with its own offset. */
static int open_object(const struct frozen_area *a)
{
	char path[80];
	struct sys_text t;
	/* The inode of a segment says nothing: others may have the same. */
	int of = a->type == AREA_SYSV ? -1 : fds_find(a->dev, a->ino);

	sys_text_open(&t, path, sizeof(path));
	if (of >= 0) {
		sys_text_put(&t, "/proc/thread-self/fd/");
		sys_text_number(&t, (uint64_t)of, 10);
	} else {
		sys_text_put(&t, "/proc/self/map_files/");
		sys_text_number(&t, a->start, 16);
		sys_text_put(&t, "-");
		sys_text_number(&t, a->end, 16);
	}
	return (int)sys_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
}

static int seek_shared(int fd, struct runs *r, range_found *found)
{
	const struct frozen_area *a = r->area;
	uint64_t end = a->offset + (a->end - a->start);
	uint64_t at = a->offset;
	long from, to;

	while (at < end) {
		from = SYS_CALL(SYS_lseek, fd, at, SEEK_DATA);
		if (from == -ENXIO)
			break; /* no data from here on */
		if (from < 0)
			return (int)from;
		to = SYS_CALL(SYS_lseek, fd, from, SEEK_HOLE);
		if (to < 0)
			return (int)to;
		from &= -(long)FROZEN_PAGE;
		to = (to + FROZEN_PAGE - 1) & -(long)FROZEN_PAGE;
		if ((uint64_t)to > end)
			to = (long)end;
		if ((uint64_t)from < end)
			found_first(r, found, (uint64_t)from, (uint64_t)to);
		at = (uint64_t)to;
	}
	return r->error;
}

/* mincore() does not know of swapped pages: where there may be some, all are
 * taken for present (reading a hole gives zeroes). */
static int may_be_swapped(void)
{
	struct sysinfo info;

	return SYS_CALL(SYS_sysinfo, &info) < 0 ||
	       info.totalswap != info.freeswap;
}

static int mincore_shared(struct runs *r, range_found *found)
{
	const struct frozen_area *a = r->area;
	uint64_t mark = frozen.scratch_used, at = a->start;
	unsigned char *in = frozen_alloc(MINCORE);
	int all = may_be_swapped();

	if (!in)
		return frozen.error;
	r->flags |= RUN_TRIM_FAULTS;
	while (at < a->end) {
		uint64_t pages = (a->end - at) / FROZEN_PAGE, i, k;
		uint64_t offset = a->offset + (at - a->start);
		long ret;

		if (pages > MINCORE)
			pages = MINCORE;
		ret = SYS_CALL(SYS_mincore, at, pages * FROZEN_PAGE, in);
		if (ret < 0)
			return (int)ret;
		for (i = 0; i < pages; i = k) {
			int is_in = all || (in[i] & 1);

			for (k = i + 1; k < pages; k++)
				if ((all || (in[k] & 1)) != is_in)
					break;
			if (is_in)
				found_first(r, found, offset + i * FROZEN_PAGE,
					    offset + k * FROZEN_PAGE);
		}
		at += pages * FROZEN_PAGE;
	}
	frozen.scratch_used = mark;
	return r->error;
}

static int each_shared(struct runs *r, range_found *found)
{
	int fd = open_object(r->area);
	int ret;

	if (fd < 0)
		return mincore_shared(r, found);
	ret = seek_shared(fd, r, found);
	sys_close(fd);
	return ret;
}

int pages_copy(struct frozen_area *area)
{
	struct runs r = {.area = area, .own_memory = 1};
	uint64_t length = area->end - area->start;
	int ret, pagemap;
	long at;

	if (area->type == AREA_ANON_SHARED || area->type == AREA_SYSV) {
		ret = each_shared(&r, copy_run);
	} else {
		pagemap = pages_open();
		if (pagemap < 0)
			return pagemap;
		ret = each_private(pagemap, &r, copy_run);
		sys_close(pagemap);
	}
	if (ret == 0 && r.copy) {
		at = SYS_CALL(SYS_mremap, r.copy, length, length,
			      MREMAP_MAYMOVE | MREMAP_FIXED, area->start);
		if (at < 0 && at >= -4095)
			ret = (int)at;
	}
	area->copied = 1;
	/* The copy can be read, whatever the area itself could. */
	area->readable_copy = r.copy != 0;
	return ret;
}

/* ---- one area ---- */

static int runs_of(int pagemap, struct runs *r)
{
	const struct frozen_area *a = r->area;

	if (a->elsewhere)
		return 0;
	switch (a->type) {
	case AREA_FILE_LOST:
		/* Pages of a file that others may still write to. */
		r->flags |= RUN_TRIM_FAULTS | RUN_UNSTABLE;
		add_run(r, a->start, a->end);
		return 0;
	case AREA_ANON_SHARED:
	case AREA_SYSV:
		return a->copied ? each_private(pagemap, r, add_run)
				 : each_shared(r, add_run);
	case AREA_ANON:
	case AREA_FILE_PRIVATE:
		if (a->flags & AREA_DROPPABLE)
			return 0;
		return each_private(pagemap, r, add_run);
	default:
		return 0;
	}
}

/* NAME of "[anon:NAME]" and "[anon_shmem:NAME]". */
static const char *anonymous_name(const char *path, uint32_t *length)
{
	size_t all = sys_strlen(path);

	*length = 0;
	if (sys_starts(path, "[anon:"))
		path += 6;
	else if (sys_starts(path, "[anon_shmem:"))
		path += 12;
	else
		return NULL;
	all = sys_strlen(path);
	*length = all ? (uint32_t)all - 1 : 0;
	return path;
}

int pages_area(int pagemap, struct frozen_area *area, int own_memory)
{
	uint64_t mark = frozen.scratch_used;
	struct runs r = {.area = area, .own_memory = own_memory};
	struct frozen_area readable;
	uint32_t length;
	const char *name = anonymous_name(area->path, &length);
	struct image_area record = {
		.start = area->start,
		.end = area->end,
		.offset = area->offset,
		.prot = area->prot,
		.type = area->type,
		.flags = area->flags,
		.file = area->file,
		.pkey = area->pkey,
		.hugetlb_shift = area->hugetlb_shift,
		.object_size = area->object_size,
		.name_length = length,
	};
	int ret;

	if (area->readable_copy) {
		readable = *area;
		readable.prot |= PROT_READ;
		r.area = &readable;
	}
	ret = runs_of(pagemap, &r);
	if (ret < 0)
		return frozen_fail(ret, "memory at ", HEX(area->start), " (",
				   *area->path ? area->path : "anonymous",
				   "): ", frozen_strerror(ret), NULL);
	record.guards = r.guard_count;
	image_record_begin(frozen.writer, IMAGE_AREA, 1);
	image_record_put(frozen.writer, &record, sizeof(record));
	image_record_put(frozen.writer, r.guards,
			 r.guard_count * sizeof(*r.guards));
	image_record_put(frozen.writer, name, length);
	image_record_end(frozen.writer);
	frozen.scratch_used = mark;
	return 0;
}
