/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#define XXH_INLINE_ALL
#include "agent/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#include "agent/agent.h"
#include "agent/generation.h"
#include "util/log.h"

#define INDEX "index.json"
#define INDEX_TMP ".tmp-index"
#define TMP ".tmp-"
#define PIECE (1u << 20)
#define TRIES 3 /* at a file that changes while it is read */
/* A change this soon after the last one may leave the same time stamp. */
#define SETTLED_NS 2000000000

struct known {
	uint64_t dev, ino, size;
	int64_t mtime, ctime;
	char name[STORE_NAME];
};

static struct {
	int fd;	   /* the folder; the generation's */
	dev_t dev; /* which folder the index is of */
	ino_t ino;
	struct known *known;
	size_t count, room;
	int changed; /* the index on disk is behind */
	unsigned serial;
	unsigned char *piece, *zeros; /* PIECE bytes each */
} store = {.fd = -1};

static int64_t ns_of(struct timespec at)
{
	return (int64_t)at.tv_sec * 1000000000 + at.tv_nsec;
}

static int failed(struct store_file *file, int ret, const char *what)
{
	snprintf(file->why, sizeof(file->why), "%s %s", what, file->path);
	return ret;
}

/* ---- the index ---- */

static int is_there(const char *name, uint64_t size)
{
	struct stat st;

	return fstatat(store.fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISREG(st.st_mode) && (uint64_t)st.st_size == size;
}

static struct known *known_find(uint64_t dev, uint64_t ino)
{
	for (size_t i = 0; i < store.count; i++)
		if (store.known[i].dev == dev && store.known[i].ino == ino)
			return &store.known[i];
	return NULL;
}

static void known_add(const struct known *entry)
{
	struct known *k = known_find(entry->dev, entry->ino);

	if (!k && store.count == store.room) {
		size_t room = store.room ? 2 * store.room : 256;

		k = reallocarray(store.known, room, sizeof(*k));
		if (!k)
			return;
		store.known = k;
		store.room = room;
		k = NULL;
	}
	if (!k)
		k = &store.known[store.count++];
	*k = *entry;
	store.changed = 1;
}

static void index_load(void)
{
	json_t *index, *entry;
	size_t i;

	store.count = 0;
	index = generation_text_read(store.fd, INDEX);
	json_array_foreach (json_object_get(index, "files"), i, entry) {
		json_int_t dev, ino, size, mtime, ctime;
		struct known k = {0};
		const char *name;

		if (json_unpack(entry, "[I, I, I, I, I, s]", &dev, &ino, &size,
				&mtime, &ctime, &name) < 0 ||
		    strlen(name) != STORE_NAME - 1)
			continue;
		k.dev = (uint64_t)dev;
		k.ino = (uint64_t)ino;
		k.size = (uint64_t)size;
		k.mtime = mtime;
		k.ctime = ctime;
		strcpy(k.name, name);
		known_add(&k);
	}
	json_decref(index);
	store.changed = 0;
}

void store_save(void)
{
	json_t *files, *index;
	int ret;

	if (!store.changed)
		return;
	files = json_array();
	for (size_t i = 0; i < store.count; i++) {
		const struct known *k = &store.known[i];

		if (is_there(k->name, k->size))
			json_array_append_new(files,
					      json_pack("[I, I, I, I, I, s]",
							(json_int_t)k->dev,
							(json_int_t)k->ino,
							(json_int_t)k->size,
							(json_int_t)k->mtime,
							(json_int_t)k->ctime,
							k->name));
	}
	index = json_pack("{s:i, s:o}", "version", 1, "files", files);
	ret = generation_text_write(store.fd, INDEX_TMP, index);
	if (ret == 0 && renameat(store.fd, INDEX_TMP, store.fd, INDEX) < 0)
		ret = -errno;
	if (ret < 0) {
		unlinkat(store.fd, INDEX_TMP, 0);
		log_line("cannot write store/" INDEX ": %s", strerror(-ret));
	}
	json_decref(index);
	store.changed = 0;
}

static int is_tmp(const struct dirent *entry)
{
	return strncmp(entry->d_name, TMP, strlen(TMP)) == 0;
}

/* Of agents that were killed; there is no other copy under way in here. */
static void sweep(void)
{
	struct dirent **list;
	int count = scandirat(store.fd, ".", &list, is_tmp, NULL);

	for (int i = 0; i < count; i++) {
		unlinkat(store.fd, list[i]->d_name, 0);
		free(list[i]);
	}
	if (count >= 0)
		free(list);
}

int store_open(int store_fd)
{
	struct stat st;

	if (!store.piece) {
		store.piece = malloc(PIECE);
		store.zeros = calloc(1, PIECE);
		if (!store.piece || !store.zeros)
			return -ENOMEM;
	}
	if (fstat(store_fd, &st) < 0)
		return -errno;
	store.fd = store_fd;
	sweep();
	if (st.st_dev == store.dev && st.st_ino == store.ino)
		return 0;
	store.dev = st.st_dev;
	store.ino = st.st_ino;
	index_load();
	return 0;
}

void store_discard(void)
{
	unlinkat(store.fd, INDEX_TMP, 0);
	for (size_t i = 0; i < store.count; i++)
		if (is_there(store.known[i].name, store.known[i].size))
			return;
	unlinkat(store.fd, INDEX, 0);
	store.count = 0;
}

/* ---- copying ---- */

/* A description of our own: the sender's offset is the program's. */
static int source_open(struct store_file *file)
{
	char path[64];
	ssize_t length;
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", file->fd);
	length = readlink(path, file->path, sizeof(file->path) - 1);
	file->path[length > 0 ? length : 0] = 0;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOATIME);
	if (fd < 0 && errno == EPERM)
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

static int copy_create(struct store_file *file)
{
	int fd = openat(store.fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	file->copy_name[0] = 0;
	if (fd < 0 &&
	    (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL)) {
		snprintf(file->copy_name, sizeof(file->copy_name), TMP "%d-%u",
			 getpid(), store.serial++);
		fd = openat(store.fd, file->copy_name,
			    O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);
	}
	return fd < 0 ? -errno : fd;
}

static int write_at(int fd, const unsigned char *data, size_t length, off_t at)
{
	while (length > 0) {
		ssize_t n = pwrite(fd, data, length, at);

		if (n < 0)
			return -errno;
		data += n;
		length -= (size_t)n;
		at += n;
	}
	return 0;
}

/* [from, to) as it is in `in`; to: -1 no copy, only the hash. */
static int take_data(int in, int out, off_t from, off_t to, XXH3_state_t *hash)
{
	while (from < to) {
		size_t want = to - from < PIECE ? (size_t)(to - from) : PIECE;
		ssize_t n = pread(in, store.piece, want, from);
		int ret = 0;

		if (worker_cancelled())
			return -ECANCELED;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EAGAIN; /* it has shrunk */
		XXH3_128bits_update(hash, store.piece, (size_t)n);
		if (out >= 0)
			ret = write_at(out, store.piece, (size_t)n, from);
		if (ret < 0)
			return ret;
		from += n;
	}
	return 0;
}

static int take_hole(off_t from, off_t to, XXH3_state_t *hash)
{
	for (; from < to; from += PIECE) {
		if (worker_cancelled())
			return -ECANCELED;
		XXH3_128bits_update(hash, store.zeros,
				    to - from < PIECE ? (size_t)(to - from)
						      : PIECE);
	}
	return 0;
}

/* Copies (unless out is -1) and hashes, data as data, holes as holes. */
static int take_content(int in, int out, off_t size, char *name)
{
	XXH3_state_t *hash = XXH3_createState();
	XXH128_canonical_t digest;
	off_t at = 0, data, hole;
	int ret = 0;

	if (!hash)
		return -ENOMEM;
	XXH3_128bits_reset(hash);
	while (at < size && ret == 0) {
		data = lseek(in, at, SEEK_DATA);
		if (data < 0)
			data = errno == ENXIO ? size : at;
		hole = data < size ? lseek(in, data, SEEK_HOLE) : size;
		if (hole < 0 || hole > size)
			hole = size;
		if (data > size)
			data = size;
		ret = take_hole(at, data, hash);
		if (ret == 0)
			ret = take_data(in, out, data, hole, hash);
		at = hole;
	}
	if (ret == 0 && out >= 0 && ftruncate(out, size) < 0)
		ret = -errno;
	XXH128_canonicalFromHash(&digest, XXH3_128bits_digest(hash));
	XXH3_freeState(hash);
	for (unsigned i = 0; i < sizeof(digest.digest); i++)
		sprintf(name + 2 * i, "%02x", digest.digest[i]);
	return ret;
}

/* Once through. -EAGAIN: it changed meanwhile. */
static int copy_once(struct store_file *file, int in)
{
	struct stat before, after;
	int ret;

	if (fstat(in, &before) < 0)
		return -errno;
	if (ftruncate(file->copy, 0) < 0)
		return -errno;
	/* A clone costs nothing and stays what it is: hash that. */
	if (ioctl(file->copy, FICLONE, in) == 0) {
		if (fstat(file->copy, &after) < 0)
			return -errno;
		file->content_size = (uint64_t)after.st_size;
		ret = take_content(file->copy, -1, after.st_size, file->name);
	} else {
		file->content_size = (uint64_t)before.st_size;
		ret = take_content(in, file->copy, before.st_size, file->name);
	}
	if (ret == 0 && fstat(in, &after) < 0)
		ret = -errno;
	if (ret < 0)
		return ret;
	file->ctime = ns_of(after.st_ctim);
	file->changed = (uint64_t)after.st_size != file->size ||
			ns_of(after.st_mtim) != file->mtime;
	if (after.st_size != before.st_size ||
	    ns_of(after.st_mtim) != ns_of(before.st_mtim))
		return -EAGAIN;
	return 0;
}

static int copy_from(struct store_file *file, int in)
{
	int ret = -EAGAIN;

	file->copy = copy_create(file);
	if (file->copy < 0)
		return failed(file, file->copy, "cannot create a copy of");
	for (int i = 0; i < TRIES && ret == -EAGAIN; i++)
		ret = copy_once(file, in);
	if (ret == -EAGAIN) {
		/* Somebody outside keeps writing to it: the last try stands,
		 * and the report says so. */
		file->changed = 1;
		ret = 0;
	}
	return ret < 0 ? failed(file, ret, "cannot copy") : 0;
}

static int64_t wall_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return ns_of(now);
}

/* Known, and not touched since? */
static int is_known(struct store_file *file, int in)
{
	struct known *k = known_find(file->dev, file->ino);
	struct stat st;

	if (file->now || !k || fstat(in, &st) < 0 ||
	    k->size != (uint64_t)st.st_size || k->size != file->size ||
	    k->mtime != ns_of(st.st_mtim) || k->mtime != file->mtime ||
	    k->ctime != ns_of(st.st_ctim) || !is_there(k->name, k->size))
		return 0;
	strcpy(file->name, k->name);
	file->content_size = k->size;
	return 1;
}

int store_copy(struct store_file *file)
{
	struct stat st;
	int ret = 0, in = source_open(file);

	file->copy = -1;
	if (in < 0)
		ret = failed(file, in, "cannot read");
	else if (fstat(in, &st) < 0 || !S_ISREG(st.st_mode))
		ret = failed(file, -EINVAL, "not a regular file:");
	else if (!is_known(file, in))
		ret = copy_from(file, in);
	if (in >= 0)
		close(in);
	close(file->fd);
	file->fd = -1;
	return ret;
}

/* Unless the same content is there already, from another file. One of another
 * size is none of ours: somebody has cut it off. */
static int copy_name(struct store_file *file)
{
	char from[64];
	int ret;

	if (is_there(file->name, file->content_size)) {
		if (file->copy_name[0])
			unlinkat(store.fd, file->copy_name, 0);
		return 0;
	}
	unlinkat(store.fd, file->name, 0);
	if (file->copy_name[0]) {
		ret = renameat(store.fd, file->copy_name, store.fd, file->name);
	} else {
		snprintf(from, sizeof(from), "/proc/self/fd/%d", file->copy);
		ret = linkat(AT_FDCWD, from, store.fd, file->name,
			     AT_SYMLINK_FOLLOW);
	}
	if (ret < 0 && errno != EEXIST)
		return -errno;
	file->added = ret == 0;
	return 0;
}

int store_keep(struct store_file *file)
{
	struct known k;
	int ret;

	if (file->copy < 0)
		return 0; /* it was there */
	if (fchmod(file->copy, 0600) < 0 || fsync(file->copy) < 0)
		return failed(file, -errno, "cannot write the copy of");
	ret = copy_name(file);
	if (ret < 0)
		return failed(file, ret, "cannot name the copy of");
	close(file->copy);
	file->copy = -1;
	if (file->now || file->changed ||
	    wall_clock() - file->ctime < SETTLED_NS)
		return 0;
	k.dev = file->dev;
	k.ino = file->ino;
	k.size = file->size;
	k.mtime = file->mtime;
	k.ctime = file->ctime;
	strcpy(k.name, file->name);
	known_add(&k);
	return 0;
}

void store_drop(struct store_file *file)
{
	if (file->fd >= 0)
		close(file->fd);
	if (file->copy >= 0) {
		if (file->copy_name[0])
			unlinkat(store.fd, file->copy_name, 0);
		close(file->copy);
	}
	if (file->added)
		unlinkat(store.fd, file->name, 0);
	file->fd = file->copy = -1;
	file->added = 0;
}
