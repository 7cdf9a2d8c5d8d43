// SPDX-License-Identifier: MIT
/*
 * The image file: what the writer wrote the reader gives back, and whatever
 * is wrong with a file is told in one line and never believed.
 */
#define _GNU_SOURCE
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "image/hash.h"
#include "image/reader.h"
#include "image/writer.h"

#define PAGE 4096ul
#define MIB (1ul << 20)

static char path[64];
static int file;

static void setup(void)
{
	strcpy(path, "/tmp/test_image-XXXXXX");
	file = mkstemp(path);
	ck_assert_int_ge(file, 0);
}

static void teardown(void)
{
	close(file);
	unlink(path);
}

/* ---- memory to be written ---- */

static uint64_t seed = 88172645463325252ull;

static uint64_t noise(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

static unsigned char *memory(size_t length)
{
	unsigned char *p = mmap(NULL, length, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ck_assert_ptr_ne(p, MAP_FAILED);
	return p;
}

static void fill_random(unsigned char *p, size_t length)
{
	uint64_t *word = (void *)p;
	size_t i;

	for (i = 0; i < length / 8; i++)
		word[i] = noise();
}

static void fill_text(unsigned char *p, size_t length)
{
	size_t i;

	for (i = 0; i + 16 <= length; i += 16)
		snprintf((char *)p + i, 16, "line %08x\n", (unsigned)noise() & 0xfff);
}

/* ---- writing ---- */

static struct image_writer *writer(unsigned threads, unsigned compress)
{
	struct image_writer_options o = {
		.fd = file, .compress = compress, .threads = threads,
		.records_max = 1 << 20, .runs_max = 4096,
	};
	uint64_t base, length;
	struct image_writer *w = image_writer_open(&o, &base, &length);

	ck_assert_ptr_nonnull(w);
	ck_assert_uint_eq(base % PAGE, 0);
	ck_assert_uint_ge((uintptr_t)w, base);
	ck_assert_uint_lt((uintptr_t)w, base + length);
	return w;
}

static void add(struct image_writer *w, const void *p, size_t length,
		uint32_t flags)
{
	image_pages_add(w, (uintptr_t)p, length, flags);
}

static int finish(struct image_writer *w)
{
	struct image_header h = {.pid = 4711, .uid = 12, .generation = 3,
				 .created = 5, .computation = "abc"};
	int ret = image_writer_finish(w, &h);

	image_writer_close(w);
	return ret;
}

static int write_all(struct image_writer *w)
{
	image_pages_write(w, NULL);
	return finish(w);
}

/* ---- reading it back ---- */

static struct image_reader reader;

static void open_good(void)
{
	int ret = image_reader_open(&reader, AT_FDCWD, path);

	ck_assert_msg(ret == 0, "%s", reader.error);
	ret = image_reader_verify_blocks(&reader, 3);
	ck_assert_msg(ret == 0, "%s", reader.error);
	ck_assert_int_eq(image_reader_hash_blocks(&reader, 2), 0);
	ck_assert_int_eq(reader.header.pid, 4711);
	ck_assert_str_eq(reader.header.computation, "abc");
}

/* Pages of [p, p + length) that are in the image, each checked against the
 * memory at `as`. */
static size_t pages_found(const unsigned char *p, size_t length,
			  const unsigned char *as)
{
	static unsigned char out[IMAGE_BLOCK_MAX], scratch[IMAGE_BLOCK_MAX];
	uint64_t from = (uintptr_t)p, to = from + length, b, e, i;
	size_t found = 0;

	for (b = 0; b < reader.header.block_count; b++) {
		const struct image_block *k = &reader.blocks[b];
		const unsigned char *data = out;

		ck_assert_int_eq(image_reader_block(&reader, b, out, scratch),
				 0);
		for (e = 0; e < k->extents; e++) {
			const struct image_extent *x =
				&reader.extents[k->first_extent + e];

			for (i = 0; i < x->length; i += PAGE, data += PAGE) {
				uint64_t addr = x->addr + i;

				if (addr < from || addr >= to)
					continue;
				found++;
				ck_assert_mem_eq(data, as + (addr - from),
						 PAGE);
			}
		}
	}
	return found;
}

START_TEST(round_trip)
{
	static const unsigned threads[] = {1, 2, 7};
	unsigned char *p = memory(16 * MIB);
	struct image_writer *w;
	unsigned compress = (unsigned)_i % 3;
	size_t i;

	fill_random(p, 5 * MIB);
	fill_text(p + 5 * MIB, 6 * MIB + 3 * PAGE);
	for (i = 12 * MIB; i < 16 * MIB; i += 5 * PAGE) /* sparse */
		fill_text(p + i, PAGE);
	w = writer(threads[_i / 3], compress);
	add(w, p, 3 * MIB, 0);
	add(w, p + 3 * MIB, 13 * MIB, 0);
	ck_assert_uint_eq(image_pages_total(w), 16 * MIB);
	ck_assert_int_eq(write_all(w), 0);
	open_good();
	ck_assert_uint_eq(pages_found(p, 16 * MIB, p),
			  11 * MIB / PAGE + 3 + (4 * MIB / PAGE + 4) / 5);
	ck_assert_uint_eq(reader.header.raw_bytes,
			  pages_found(p, 16 * MIB, p) * PAGE);
	if (compress == 2)
		ck_assert_uint_eq(reader.header.stored_bytes,
				  reader.header.raw_bytes);
	else
		ck_assert_uint_lt(reader.header.stored_bytes, 9 * MIB);
	image_reader_close(&reader);
	munmap(p, 16 * MIB);
}
END_TEST

/* Raw blocks can be mapped, and dense memory is cut where it is aligned. */
START_TEST(blocks_are_aligned)
{
	unsigned char *p = memory(6 * MIB);
	unsigned char *q = (void *)(((uintptr_t)p + MIB) & -MIB);
	struct image_writer *w = writer(2, 0);
	uint64_t b, e;

	fill_random(p, 6 * MIB);
	add(w, q - 3 * PAGE, 3 * PAGE + 4 * MIB, 0);
	ck_assert_int_eq(write_all(w), 0);
	open_good();
	for (b = 0; b < reader.header.block_count; b++) {
		ck_assert_uint_eq(reader.blocks[b].codec, IMAGE_RAW);
		ck_assert_uint_eq(reader.blocks[b].offset % PAGE, 0);
	}
	for (e = 0; e < reader.header.extent_count; e++)
		ck_assert(reader.extents[e].addr % MIB == 0 ||
			  reader.extents[e].length == 3 * PAGE);
	image_reader_close(&reader);
	munmap(p, 6 * MIB);
}
END_TEST

START_TEST(many_runs)
{
	size_t pages = 8000, i;
	unsigned char *p = memory(pages * PAGE);
	struct image_writer *w = writer(3, 1);

	fill_text(p, pages * PAGE);
	for (i = 0; i < pages; i += 2)
		add(w, p + i * PAGE, PAGE, i % 100 == 0 ? RUN_UNSTABLE : 0);
	ck_assert_int_eq(write_all(w), 0);
	open_good();
	ck_assert_uint_eq(pages_found(p, pages * PAGE, p), pages / 2);
	image_reader_close(&reader);
	munmap(p, pages * PAGE);
}
END_TEST

START_TEST(only_zeros)
{
	unsigned char *p = memory(9 * MIB);
	struct image_writer *w = writer(2, 0);
	struct stat st;

	add(w, p, 9 * MIB, 0);
	ck_assert_int_eq(write_all(w), 0);
	open_good();
	ck_assert_uint_eq(reader.header.block_count, 0);
	ck_assert_int_eq(fstat(file, &st), 0);
	ck_assert_int_eq(st.st_size, IMAGE_HEADER_SIZE);
	image_reader_close(&reader);
	munmap(p, 9 * MIB);
}
END_TEST

START_TEST(unreadable_pages)
{
	unsigned char *p = memory(3 * MIB), *copy = malloc(3 * MIB);
	struct image_writer *w = writer(2, 0);

	fill_text(p, 2 * MIB);
	memcpy(copy, p, 3 * MIB);
	ck_assert_int_eq(mprotect(p, 3 * MIB, PROT_NONE), 0);
	add(w, p, 3 * MIB, RUN_UNREADABLE);
	ck_assert_int_eq(write_all(w), 0);
	open_good();
	ck_assert_uint_eq(pages_found(p, 3 * MIB, copy), 2 * MIB / PAGE);
	image_reader_close(&reader);
	munmap(p, 3 * MIB);
	free(copy);
}
END_TEST

/* A mapping of a file that has been cut meanwhile. */
START_TEST(pages_behind_the_end)
{
	int fd = memfd_create("cut", MFD_CLOEXEC);
	struct image_writer *w = writer(2, 0);
	unsigned char *p;

	ck_assert_int_eq(ftruncate(fd, 2 * MIB), 0);
	p = mmap(NULL, 2 * MIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	fill_text(p, 2 * MIB);
	ck_assert_int_eq(ftruncate(fd, MIB + 5 * PAGE + 7), 0);
	add(w, p, 2 * MIB, RUN_TRIM_FAULTS | RUN_UNSTABLE);
	ck_assert_int_eq(write_all(w), 0);
	open_good();
	ck_assert_uint_eq(pages_found(p, MIB + 5 * PAGE, p), MIB / PAGE + 5);
	ck_assert_uint_eq(reader.header.raw_bytes, MIB + 6 * PAGE);
	image_reader_close(&reader);
	munmap(p, 2 * MIB);
	close(fd);
}
END_TEST

static volatile int stop;

static void *scribble(void *p)
{
	uint64_t *word = p;

	while (!stop)
		word[noise() % (4 * MIB / 8)] = noise();
	return NULL;
}

START_TEST(memory_that_changes)
{
	unsigned char *p = memory(4 * MIB);
	struct image_writer *w = writer(2, (unsigned)_i);
	pthread_t other;

	fill_text(p, 4 * MIB);
	stop = 0;
	ck_assert_int_eq(pthread_create(&other, NULL, scribble, p), 0);
	add(w, p, 4 * MIB, RUN_UNSTABLE);
	ck_assert_int_eq(write_all(w), 0);
	stop = 1;
	pthread_join(other, NULL);
	open_good();
	image_reader_close(&reader);
	munmap(p, 4 * MIB);
}
END_TEST

/* As with a snapshot: opened and filled in by the parent, written by a child
 * that has a copy of it all. */
START_TEST(written_by_a_child)
{
	unsigned char *p = memory(4 * MIB), *copy = malloc(4 * MIB);
	struct image_writer *w = writer(2, 0);
	int status;
	pid_t pid;

	fill_text(p, 4 * MIB);
	memcpy(copy, p, 4 * MIB);
	mprotect(p, MIB, PROT_NONE);
	add(w, p, MIB, RUN_UNREADABLE);
	add(w, p + MIB, 3 * MIB, 0);
	pid = fork();
	if (pid == 0)
		_exit(write_all(w) == 0 ? 0 : 1);
	mprotect(p, MIB, PROT_READ | PROT_WRITE);
	memset(p, 7, 4 * MIB);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	open_good();
	ck_assert_uint_eq(pages_found(p, 4 * MIB, copy), 4 * MIB / PAGE);
	image_reader_close(&reader);
	image_writer_close(w);
	munmap(p, 4 * MIB);
	free(copy);
}
END_TEST

/* The writer's memory is not locked with the rest. */
START_TEST(all_memory_locked)
{
	unsigned char *p = memory(2 * MIB);
	struct image_writer *w;
	char line[256];
	long locked = 0;
	FILE *f;

	fill_text(p, 2 * MIB);
	if (mlockall(MCL_FUTURE) < 0)
		goto out;
	w = writer(2, 0);
	add(w, p, 2 * MIB, 0);
	f = fopen("/proc/self/status", "re");
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "VmLck: %ld", &locked) == 1)
			break;
	fclose(f);
	ck_assert_int_lt(locked, 1024);
	ck_assert_int_eq(write_all(w), 0);
	munlockall();
	open_good();
	image_reader_close(&reader);
out:
	munmap(p, 2 * MIB);
}
END_TEST

START_TEST(records_come_back)
{
	struct image_writer *w = writer(1, 0);
	struct image_record record;
	char data[100];
	const void *body;
	size_t cursor = 0;
	unsigned i;

	for (i = 0; i < 100; i++) {
		memset(data, (int)i + 1, sizeof(data));
		image_record_begin(w, i + 5, 2);
		image_record_put(w, data, i / 2);
		image_record_put(w, data, i - i / 2);
		image_record_end(w);
	}
	ck_assert_int_eq(write_all(w), 0);
	open_good();
	for (i = 0; i < 100; i++) {
		memset(data, (int)i + 1, sizeof(data));
		ck_assert_int_eq(image_reader_next(&reader, &cursor, &record,
						   &body), 1);
		ck_assert_uint_eq(record.kind, i + 5);
		ck_assert_uint_eq(record.version, 2);
		ck_assert_uint_eq(record.length, i);
		ck_assert_uint_eq((uintptr_t)body % 8, 0);
		if (i)
			ck_assert_mem_eq(body, data, i);
	}
	ck_assert_int_eq(image_reader_next(&reader, &cursor, &record, &body),
			 0);
	image_reader_close(&reader);
}
END_TEST

static unsigned reports;

static void report(void *data, uint64_t raw, uint64_t stored)
{
	ck_assert_ptr_eq(data, &reports);
	ck_assert_uint_le(stored, raw);
	reports++;
}

START_TEST(progress_is_told)
{
	const struct image_progress progress = {report, &reports};
	unsigned char *p = memory(4 * MIB);
	struct image_writer *w = writer(1, 1);

	fill_text(p, 4 * MIB);
	add(w, p, 4 * MIB, 0);
	reports = 0;
	image_pages_write(w, &progress);
	ck_assert_uint_ge(reports, 1);
	ck_assert_int_eq(finish(w), 0);
	munmap(p, 4 * MIB);
}
END_TEST

/* ---- failing to write ---- */

static void expect_no_image(void)
{
	ck_assert_int_lt(image_reader_open(&reader, AT_FDCWD, path), 0);
}

START_TEST(disk_is_full)
{
	unsigned char *p = memory(4 * MIB);
	struct image_writer *w;
	int own = file;

	fill_random(p, 4 * MIB);
	file = open("/dev/full", O_RDWR | O_CLOEXEC);
	w = writer(2, 0);
	add(w, p, 4 * MIB, 0);
	image_pages_write(w, NULL);
	ck_assert_int_eq(image_writer_error(w), -ENOSPC);
	ck_assert_int_eq(finish(w), -ENOSPC);
	close(file);
	file = own;
	munmap(p, 4 * MIB);
}
END_TEST

START_TEST(file_may_not_grow)
{
	unsigned char *p = memory(4 * MIB);
	struct rlimit limit = {MIB, RLIM_INFINITY};
	struct image_writer *w = writer(2, 0);

	fill_random(p, 4 * MIB);
	add(w, p, 4 * MIB, 0);
	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	ck_assert_int_eq(write_all(w), -EFBIG);
	limit.rlim_cur = RLIM_INFINITY;
	setrlimit(RLIMIT_FSIZE, &limit);
	expect_no_image();
	munmap(p, 4 * MIB);
}
END_TEST

START_TEST(too_much_of_everything)
{
	struct image_writer *w = writer(1, 0);
	char *big = calloc(1, 2 * MIB);
	size_t i;

	image_record_begin(w, 1, 1);
	image_record_put(w, big, 2 * MIB);
	image_record_end(w);
	ck_assert_int_eq(write_all(w), -EOVERFLOW);
	expect_no_image();
	w = writer(1, 0);
	for (i = 0; i < 5000; i++)
		image_pages_add(w, 0x10000 + i * 2 * PAGE, PAGE, 0);
	ck_assert_int_eq(image_writer_error(w), -EOVERFLOW);
	ck_assert_int_eq(finish(w), -EOVERFLOW);
	expect_no_image();
	w = writer(1, 0);
	image_pages_add(w, 0x10001, PAGE, 0);
	ck_assert_int_eq(finish(w), -EINVAL);
	free(big);
}
END_TEST

START_TEST(memory_that_is_not_there)
{
	unsigned char *p = memory(2 * MIB);
	struct image_writer *w = writer(2, 0);

	add(w, p, 2 * MIB, RUN_UNREADABLE);
	munmap(p, 2 * MIB);
	ck_assert_int_eq(write_all(w), -EIO);
	expect_no_image();
}
END_TEST

/* ---- damaged files ---- */

static unsigned char *image; /* a small good one */
static size_t image_size;

static void write_small(void)
{
	unsigned char *p = memory(64 * PAGE);
	struct image_writer *w = writer(1, 0);
	struct stat st;
	unsigned i;

	fill_random(p, 2 * PAGE);
	fill_text(p + 10 * PAGE, 4 * PAGE);
	fill_random(p + 20 * PAGE, PAGE);
	for (i = 1; i < 6; i++) {
		image_record_begin(w, i, 1);
		image_record_put(w, p, i * 13);
		image_record_end(w);
	}
	add(w, p, 2 * PAGE, 0);
	add(w, p + 10 * PAGE, 4 * PAGE, RUN_UNSTABLE);
	add(w, p + 20 * PAGE, 20 * PAGE, 0);
	ck_assert_int_eq(write_all(w), 0);
	ck_assert_int_eq(fstat(file, &st), 0);
	image_size = (size_t)st.st_size;
	image = malloc(image_size);
	ck_assert_int_eq(pread(file, image, image_size, 0), image_size);
	open_good();
	ck_assert_uint_eq(reader.header.block_count, 3);
	munmap(p, 64 * PAGE);
}

static void put(const void *data, size_t size)
{
	ck_assert_int_eq(ftruncate(file, 0), 0);
	ck_assert_int_eq(pwrite(file, data, size, 0), size);
}

/* Opened and read to the end: 0 or the error. */
static int try(void)
{
	int ret = image_reader_open(&reader, AT_FDCWD, path);

	if (ret == 0) {
		ret = image_reader_verify_blocks(&reader, 1);
		image_reader_close(&reader);
	}
	return ret;
}

/* Refused in one line that begins with the name of the file. */
static void expect_refused(const char *why, size_t where)
{
	int ret = try();

	ck_assert_msg(ret < 0, "%s at %zu is not refused", why, where);
	ck_assert_msg(strncmp(reader.error, path, strlen(path)) == 0 &&
			      strlen(reader.error) > strlen(path) + 10 &&
			      !strchr(reader.error, '\n'),
		      "%s at %zu: \"%s\"", why, where, reader.error);
}

static void flip_range(size_t start, size_t length)
{
	unsigned char byte;
	size_t i;

	for (i = start; i < start + length; i++) {
		byte = image[i] ^ (unsigned char)(1u << (i * 5 + i / 8) % 8);
		ck_assert_int_eq(pwrite(file, &byte, 1, (off_t)i), 1);
		expect_refused("a flipped bit", i);
		ck_assert_int_eq(pwrite(file, &image[i], 1, (off_t)i), 1);
	}
}

START_TEST(any_flipped_bit)
{
	const struct image_header *h = &reader.header;
	size_t b;

	write_small();
	image_reader_close(&reader);
	flip_range(0, sizeof(*h));
	flip_range(h->records_offset, h->records_length);
	flip_range(h->index_offset, h->file_size - h->index_offset);
	ck_assert_int_eq(image_reader_open(&reader, AT_FDCWD, path), 0);
	struct image_block blocks[3];

	memcpy(blocks, reader.blocks, sizeof(blocks));
	image_reader_close(&reader);
	for (b = 0; b < 3; b++)
		flip_range(blocks[b].offset, blocks[b].stored);
	ck_assert_int_eq(try(), 0); /* all is as it was */
	free(image);
}
END_TEST

START_TEST(hashes_suffice)
{
	const unsigned char byte = 1;
	off_t where;

	write_small();
	where = (off_t)reader.blocks[1].offset;
	ck_assert_int_eq(image_reader_hash_blocks(&reader, 1), 0);
	ck_assert_int_eq(pwrite(file, &byte, 1, where), 1);
	ck_assert_int_eq(image_reader_hash_blocks(&reader, 3), -EIO);
	ck_assert_ptr_nonnull(strstr(reader.error, "block 1 at"));
	image_reader_close(&reader);
	free(image);
}
END_TEST

START_TEST(cut_anywhere)
{
	size_t n;

	write_small();
	image_reader_close(&reader);
	for (n = image_size; n-- > 0;) {
		ck_assert_int_eq(ftruncate(file, (off_t)n), 0);
		expect_refused("a cut", n);
		ck_assert(strstr(reader.error, "truncated") != NULL);
	}
	put(image, image_size);
	ck_assert_int_eq(pwrite(file, "x", 1, (off_t)image_size), 1);
	expect_refused("a byte more", image_size);
	free(image);
}
END_TEST

/* Hashes put right, so that what is wrong itself has to be noticed. */
static void rehash(unsigned char *data)
{
	struct image_header *h = (void *)data;

	if (h->records_offset <= image_size &&
	    h->records_length <= image_size - h->records_offset)
		h->records_hash = image_hash(data + h->records_offset,
					     h->records_length);
	if (h->index_offset <= image_size)
		h->index_hash = image_hash(data + h->index_offset,
					   image_size - h->index_offset);
	h->header_hash = image_header_hash(h);
}

START_TEST(wrong_version_and_such)
{
	struct image_header *h;

	write_small();
	image_reader_close(&reader);
	h = (void *)image;
#define WRONG(field, value, says)                                              \
	do {                                                                   \
		struct image_header good = *h;                                 \
                                                                               \
		h->field = value;                                              \
		rehash(image);                                                 \
		put(image, image_size);                                        \
		expect_refused(#field, 0);                                     \
		ck_assert_msg(strstr(reader.error, says) != NULL, "%s",        \
			      reader.error);                                   \
		*h = good;                                                     \
	} while (0)
	WRONG(version, 1, "version 1");
	WRONG(version, 0, "version 0");
	WRONG(arch, 183, "architecture");
	WRONG(page_size, 65536, "65536");
	WRONG(features, 1ull << 40, "features");
	WRONG(header_size, 192, "header");
	WRONG(file_size, image_size + 4096, "truncated");
	WRONG(file_size, ~0ull, "truncated");
	WRONG(records_offset, ~0ull, "sizes");
	WRONG(records_offset, 0, "sizes");
	WRONG(records_length, ~0ull, "sizes");
	WRONG(records_length, h->records_length - 8, "record");
	WRONG(index_offset, ~7ull, "sizes");
	WRONG(index_offset, image_size - 8, "sizes");
	WRONG(block_count, ~0ull, "sizes");
	WRONG(block_count, 1ull << 61, "sizes");
	WRONG(extent_count, 1ull << 60, "sizes");
	WRONG(block_count, 0, "sizes");
	WRONG(computation[39] = 'x'; memset(h->computation, 'x', 40);
	      h->pid, 1, "sizes");
	memset(image, 0, IMAGE_HEADER_SIZE);
	put(image, image_size);
	expect_refused("no header", 0);
	ck_assert(strstr(reader.error, "never finished") != NULL);
	put("#!/bin/sh\n", 10);
	expect_refused("a script", 0);
	ck_assert(strstr(reader.error, "no ckpt image") != NULL);
	free(image);
}
END_TEST

/* Every field of the index, absurd. */
START_TEST(absurd_index)
{
	static const uint64_t values[] = {0, 1, 4095, 4097, 1u << 20,
					  (1u << 20) + 1, 1u << 31, ~0u,
					  1ull << 47, ~0ull - 4095, ~0ull};
	struct image_header *h;
	unsigned char *bad;
	size_t i, v, index, refused = 0, tried = 0;

	write_small();
	image_reader_close(&reader);
	bad = malloc(image_size);
	h = (void *)image;
	index = h->index_offset;
	for (i = index; i < image_size; i += 4) {
		for (v = 0; v < sizeof(values) / sizeof(*values); v++) {
			memcpy(bad, image, image_size);
			memcpy(bad + i, &values[v],
			       image_size - i < 8 || (v & 1) ? 4 : 8);
			if (memcmp(bad, image, image_size) == 0)
				continue;
			rehash(bad);
			put(bad, image_size);
			tried++;
			if (try() < 0)
				refused++;
		}
	}
	/* All that is left are other page-aligned addresses. */
	ck_assert_uint_gt(refused, tried * 3 / 4);
	free(bad);
	free(image);
}
END_TEST

/* Anything, with the hashes right: never a crash. */
START_TEST(random_damage)
{
	unsigned char *bad;
	size_t i, n;

	write_small();
	image_reader_close(&reader);
	bad = malloc(image_size);
	for (i = 0; i < 3000; i++) {
		struct image_header *h = (void *)bad;

		memcpy(bad, image, image_size);
		for (n = noise() % 4 + 1; n > 0; n--) {
			const struct image_header *g = (void *)image;
			size_t at[] = {noise() % sizeof(*h),
				       g->records_offset +
					       noise() % g->records_length,
				       g->index_offset +
					       noise() % (image_size -
							  g->index_offset)};

			bad[at[noise() % 3]] ^= 1u << noise() % 8;
		}
		rehash(bad);
		put(bad, image_size);
		if (try() < 0)
			ck_assert_uint_gt(strlen(reader.error), 20);
	}
	free(bad);
	free(image);
}
END_TEST

START_TEST(not_a_file)
{
	ck_assert_int_eq(image_reader_open(&reader, AT_FDCWD, "/nowhere/x"),
			 -ENOENT);
	ck_assert_str_eq(reader.error, "/nowhere/x: No such file or directory");
	ck_assert_int_eq(image_reader_open(&reader, AT_FDCWD, "/tmp"),
			 -EINVAL);
	ck_assert_int_eq(image_reader_open(&reader, AT_FDCWD, "/dev/null"),
			 -EINVAL);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("image");
	TCase *test = tcase_create("image");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(test, setup, teardown);
	tcase_set_timeout(test, 120);
	tcase_add_loop_test(test, round_trip, 0, 9);
	tcase_add_test(test, blocks_are_aligned);
	tcase_add_test(test, many_runs);
	tcase_add_test(test, only_zeros);
	tcase_add_test(test, unreadable_pages);
	tcase_add_test(test, pages_behind_the_end);
	tcase_add_loop_test(test, memory_that_changes, 0, 3);
	tcase_add_test(test, written_by_a_child);
	tcase_add_test(test, all_memory_locked);
	tcase_add_test(test, records_come_back);
	tcase_add_test(test, progress_is_told);
	tcase_add_test(test, disk_is_full);
	tcase_add_test(test, file_may_not_grow);
	tcase_add_test(test, too_much_of_everything);
	tcase_add_test(test, memory_that_is_not_there);
	tcase_add_test(test, any_flipped_bit);
	tcase_add_test(test, hashes_suffice);
	tcase_add_test(test, cut_anywhere);
	tcase_add_test(test, wrong_version_and_such);
	tcase_add_test(test, absurd_index);
	tcase_add_test(test, random_damage);
	tcase_add_test(test, not_a_file);
	suite_add_tcase(suite, test);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
