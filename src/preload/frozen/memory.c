/* SPDX-License-Identifier: MIT */
/*
 * Memory of the service thread: the scratch range, which is not in the image,
 * and the arena behind ckpt_reserve(), which is. Both are taken before the
 * areas are read and stay where they are.
 */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <sys/resource.h>

#include "preload/frozen/frozen.h"

/* Address space is all that is taken; less of it where that is short. */
#define SCRATCH_MOST (512ull << 20)
#define SCRATCH_LEAST (16ull << 20)

static long map(uint64_t size)
{
	long at = sys_mmap(NULL, size, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	/* A few pages are touched, not megabytes of zeroes. */
	if (at >= 0 || at < -4095)
		sys_madvise((void *)at, size, MADV_NOHUGEPAGE);
	return at;
}

static int refused(long ret)
{
	return ret < 0 && ret >= -4095;
}

/* Where there is a limit that cannot be lifted, the writer needs some, too. */
static int is_scarce(void)
{
	struct rlimit limit;

	return SYS_CALL(SYS_prlimit64, 0, RLIMIT_AS, NULL, &limit) == 0 &&
	       limit.rlim_cur != RLIM_INFINITY;
}

int frozen_no_memory(int error)
{
	return frozen_fail(error,
			   error == -EAGAIN ?
				   "no memory for the checkpoint: the program "
				   "locks all it maps (mlockall), and the limit "
				   "of locked memory (ulimit -l) leaves no room" :
				   "no memory for the checkpoint",
			   NULL);
}

int frozen_memory_open(void)
{
	uint64_t size = is_scarce() ? SCRATCH_LEAST : SCRATCH_MOST;
	long at = map(size);

	while (refused(at) && size > SCRATCH_LEAST) {
		size /= 2;
		at = map(size);
	}
	if (refused(at))
		return frozen_no_memory((int)at);
	frozen.scratch = (uint64_t)at;
	frozen.scratch_size = size;
	frozen.scratch_used = 0;
	frozen.own[0] = (struct frozen_range){(uint64_t)at, (uint64_t)at + size};
	frozen.own_count = 1;

	at = map(FROZEN_ARENA);
	if (refused(at)) {
		frozen_memory_close();
		return frozen_no_memory((int)at);
	}
	frozen.arena = (uint64_t)at;
	frozen.arena_used = 0;
	frozen.line = frozen_alloc(FROZEN_LINE);
	frozen.path = frozen_alloc(FROZEN_PATH);
	return 0;
}

void frozen_memory_close(void)
{
	if (frozen.scratch)
		sys_munmap((void *)frozen.scratch, frozen.scratch_size);
	if (frozen.arena)
		sys_munmap((void *)frozen.arena, FROZEN_ARENA);
	frozen.scratch = frozen.arena = 0;
	frozen.own_count = 0;
}

void *frozen_alloc(size_t size)
{
	uint64_t at = (frozen.scratch_used + 15) & ~15ull;

	if (size > frozen.scratch_size - at) {
		frozen_no_memory(-ENOMEM);
		return NULL;
	}
	frozen.scratch_used = at + size;
	return (void *)(frozen.scratch + at);
}

char *frozen_keep(const char *text, size_t length)
{
	char *copy = frozen_alloc(length + 1);

	if (!copy)
		return NULL;
	__builtin_memcpy(copy, text, length);
	copy[length] = 0;
	return copy;
}

void *ckpt_reserve(size_t length)
{
	uint64_t at = (frozen.arena_used + 15) & ~15ull;

	if (!frozen.arena || length > FROZEN_ARENA - at)
		return NULL;
	frozen.arena_used = at + length;
	return (void *)(frozen.arena + at);
}

/* Nothing else may be allocated meanwhile: it grows at the end of the range. */
char *frozen_slurp(const char *path, size_t *length)
{
	long fd = sys_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	size_t got = 0, room;
	char *text;
	long n;

	if (fd < 0) {
		frozen_fail((int)fd, path, ": ", frozen_strerror((int)fd), NULL);
		return NULL;
	}
	text = frozen_alloc(0);
	room = frozen.scratch_size - frozen.scratch_used;
	if (room > 64u << 20)
		room = 64u << 20;
	do {
		n = sys_read((int)fd, text + got, room - got - 1);
		if (n > 0)
			got += (size_t)n;
	} while (n > 0 || n == -EINTR);
	sys_close((int)fd);
	if (n < 0) {
		frozen_fail((int)n, path, ": ", frozen_strerror((int)n), NULL);
		return NULL;
	}
	text[got] = 0;
	frozen.scratch_used += got + 1;
	if (length)
		*length = got;
	return text;
}
