/* SPDX-License-Identifier: MIT */
/*
 * The path by which something is watched: the kernel keeps the inode only, and
 * only root gets from that back to a path. So we note what each path led to,
 * for plugins/inotify to look up.
 *
 * Not seen: calls that do not come through libc's function; what was watched
 * before an exec. Notes are never taken back: there is a limit to them all.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "preload/preload.h"
#include "preload/wrap/real.h"

#define CHUNK (64u << 10)
#define CHUNKS_MAX 512

struct preload_watches preload_watches;

static struct chunk {
	uint32_t used;
	char data[CHUNK - sizeof(uint64_t)] __attribute__((aligned(8)));
} *chunk;
static uint32_t chunks;

/* Any thread, without a lock: a fork may happen at any time. NULL: no more. */
static void *take(size_t size)
{
	struct chunk *now, *more;
	uint32_t at;

	size = (size + 7) & ~(size_t)7;
	for (;;) {
		now = __atomic_load_n(&chunk, __ATOMIC_ACQUIRE);
		if (now) {
			at = __atomic_fetch_add(&now->used, (uint32_t)size,
						__ATOMIC_RELAXED);
			if (at + size <= sizeof(now->data))
				return now->data + at;
		}
		if (__atomic_fetch_add(&chunks, 1, __ATOMIC_RELAXED) >= CHUNKS_MAX)
			return NULL;
		more = mmap(NULL, sizeof(*more), PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (more == MAP_FAILED)
			return NULL;
		if (!__atomic_compare_exchange_n(&chunk, &now, more, 0,
						 __ATOMIC_ACQ_REL,
						 __ATOMIC_ACQUIRE))
			munmap(more, sizeof(*more));
	}
}

static int is_noted(const struct preload_watch *w, uint64_t dev, uint64_t ino,
		    const char *path)
{
	for (; w; w = w->next)
		if (w->ino == ino && w->dev == dev && !strcmp(w->path, path))
			return 1;
	return 0;
}

static void note(const char *given, uint32_t mask)
{
	struct preload_watch **head, *w;
	char path[PATH_MAX];
	struct stat st;
	uint64_t dev;
	size_t length;

	if (fstatat(AT_FDCWD, given, &st,
		    mask & IN_DONT_FOLLOW ? AT_SYMLINK_NOFOLLOW : 0) < 0)
		return;
	path[0] = 0;
	if (*given != '/' && (!getcwd(path, sizeof(path)) || *path != '/'))
		return;
	length = strlen(path);
	if (length + strlen(given) + 2 > sizeof(path))
		return;
	if (length > 1)
		path[length++] = '/';
	strcpy(path + length, given);
	/* As fdinfo writes a device. */
	dev = (uint64_t)major(st.st_dev) << 20 | minor(st.st_dev);
	head = &preload_watches.heads[st.st_ino % PRELOAD_WATCH_HEADS];
	w = __atomic_load_n(head, __ATOMIC_ACQUIRE);
	if (is_noted(w, dev, st.st_ino, path))
		return;
	w = take(sizeof(*w) + strlen(path) + 1);
	if (!w)
		return;
	w->dev = dev;
	w->ino = st.st_ino;
	strcpy(w->path, path);
	w->next = __atomic_load_n(head, __ATOMIC_ACQUIRE);
	while (!__atomic_compare_exchange_n(head, &w->next, w, 0,
					    __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		;
}

int inotify_add_watch(int fd, const char *path, uint32_t mask)
{
	int wd = real()->inotify_add_watch(fd, path, mask), error = errno;

	if (wd >= 0)
		note(path, mask);
	errno = error;
	return wd;
}
