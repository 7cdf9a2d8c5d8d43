/* SPDX-License-Identifier: MIT */
/*
 * The bounds that a checkpoint and a restart are measured against, in MiB/s:
 *
 *	bound lz4 MIB random|half|zero THREADS		compress in memory
 *	bound unlz4 MIB random|half|zero THREADS	decompress in memory
 *	bound memcpy MIB THREADS
 *	bound write MIB FILE	sequential write and fsync
 *	bound read MIB FILE THREADS	of a file in the page cache
 *	bound place MIB FILE THREADS	the same into memory that has not been
 *					touched before
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <lz4.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define BLOCK (1 << 20)
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

static const char *what, *kind, *path;
static int blocks, threads;
static char *source, *untouched;
static int next;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void fill(void)
{
	uint64_t state = 88172645463325252u, *memory = (uint64_t *)source;

	for (uint64_t i = 0; i < 16ull * BLOCK / 8; i++) {
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		memory[i] = kind && !strcmp(kind, "zero")		? 0
			    : kind && !strcmp(kind, "half") && (i & 32) ? i & 3
									: state;
	}
}

static void *work(void *arg)
{
	char *out = malloc(LZ4_compressBound(BLOCK)), *back = malloc(BLOCK);
	int size = LZ4_compress_default(source, out, BLOCK, LZ4_compressBound(BLOCK)), block;
	int fd = path ? open(path, O_RDONLY) : -1;

	memset(back, 1, BLOCK);
	while ((block = __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED)) < blocks) {
		char *from = source + (block % 16) * (size_t)BLOCK;
		char *to = back;

		if (untouched) {
			to = untouched + block * (size_t)BLOCK;
			madvise(to, BLOCK, MADV_POPULATE_WRITE);
		}
		if (!strcmp(what, "lz4"))
			LZ4_compress_default(from, out, BLOCK, LZ4_compressBound(BLOCK));
		else if (!strcmp(what, "unlz4"))
			LZ4_decompress_safe(out, back, size, BLOCK);
		else if (!strcmp(what, "memcpy"))
			memcpy(back, from, BLOCK);
		else if (pread(fd, to, BLOCK, (off_t)block * BLOCK) != BLOCK)
			abort();
	}
	return arg;
}

int main(int argc, char **argv)
{
	pthread_t thread[64];
	double start;

	if (argc < 4)
		return 2;
	what = argv[1];
	blocks = atoi(argv[2]);
	source = aligned_alloc(4096, 16ull * BLOCK);
	if (!strcmp(what, "write")) {
		int fd = open(argv[3], O_CREAT | O_TRUNC | O_WRONLY, 0600);

		fill();
		start = now();
		for (int i = 0; i < blocks; i++)
			if (write(fd, source + (i % 16) * (size_t)BLOCK, BLOCK) != BLOCK)
				return 1;
		if (fsync(fd))
			return 1;
		printf("%.1f\n", blocks / (now() - start));
		return 0;
	}
	if (!strcmp(what, "memcpy")) {
		threads = atoi(argv[3]);
	} else if (!strcmp(what, "read") || !strcmp(what, "place")) {
		path = argv[3];
		threads = atoi(argv[4]);
		if (!strcmp(what, "place"))
			untouched = mmap(NULL, blocks * (size_t)BLOCK,
					 PROT_READ | PROT_WRITE,
					 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (untouched == MAP_FAILED)
			return 1;
	} else {
		kind = argv[3];
		threads = atoi(argv[4]);
	}
	fill();
	start = now();
	for (int i = 0; i < threads; i++)
		pthread_create(&thread[i], NULL, work, NULL);
	for (int i = 0; i < threads; i++)
		pthread_join(thread[i], NULL);
	printf("%.1f\n", blocks / (now() - start));
	return 0;
}
