/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#define XXH_INLINE_ALL
#include "agent/generation.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <xxhash.h>

#include "agent/agent.h"
#include "agent/worker.h"
#include "image/format.h"
#include "util/log.h"

#define MANIFEST "manifest.json"
#define MANIFEST_TMP "manifest.json.tmp"
#define PREFIX "gen-"
#define BEST_RATIO 16 /* what LZ4 and absent pages may save at best, roughly */

__attribute__((format(printf, 3, 4))) static int
failed(struct generation *g, int ret, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(g->why, sizeof(g->why), format, args);
	va_end(args);
	return ret;
}

void generation_init(struct generation *g)
{
	memset(g, 0, sizeof(*g));
	g->fd = g->parent_fd = g->store_fd = -1;
}

void generation_close(struct generation *g)
{
	if (g->fd >= 0)
		close(g->fd);
	if (g->parent_fd >= 0)
		close(g->parent_fd);
	if (g->store_fd >= 0)
		close(g->store_fd);
	g->fd = g->parent_fd = g->store_fd = -1;
}

/* Makes it if need be; a descriptor or -errno. */
static int folder(int at, const char *path)
{
	int fd;

	if (mkdirat(at, path, 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int exists(int at, const char *path)
{
	return faccessat(at, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* All files of the folder; it holds no folders. Then itself. */
static int folder_remove(int at, const char *name)
{
	struct dirent *entry;
	DIR *dir;
	int fd = openat(at, name,
			O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	/* Without its manifest it counts no more, whatever happens next. */
	unlinkat(fd, MANIFEST, 0);
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return -ENOMEM;
	}
	while ((entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			unlinkat(fd, entry->d_name, 0);
	closedir(dir);
	return unlinkat(at, name, AT_REMOVEDIR) < 0 ? -errno : 0;
}

/* Generations beside ours, oldest first; the caller frees it. */
static int by_name(const struct dirent **a, const struct dirent **b)
{
	/* Digits of equal number sort as text; longer is later. */
	size_t la = strlen((*a)->d_name), lb = strlen((*b)->d_name);

	return la != lb ? (la > lb) - (la < lb)
			: strcmp((*a)->d_name, (*b)->d_name);
}

static int is_generation(const struct dirent *entry)
{
	const char *digits = entry->d_name + strlen(PREFIX);

	return strncmp(entry->d_name, PREFIX, strlen(PREFIX)) == 0 && *digits &&
	       digits[strspn(digits, "0123456789")] == 0;
}

static int generations(struct generation *g, struct dirent ***list)
{
	return scandirat(g->parent_fd, ".", list, is_generation, by_name);
}

static void list_free(struct dirent **list, int count)
{
	for (int i = 0; i < count; i++)
		free(list[i]);
	if (count >= 0)
		free(list);
}

static int committed(struct generation *g, const char *name)
{
	char path[NAME_MAX + sizeof(MANIFEST) + 2];

	snprintf(path, sizeof(path), "%s/%s", name, MANIFEST);
	return exists(g->parent_fd, path);
}

static void sweep_unfinished(struct generation *g)
{
	struct dirent **list;
	int count = generations(g, &list);

	for (int i = 0; i < count; i++)
		if (strcmp(list[i]->d_name, g->name) != 0 &&
		    !committed(g, list[i]->d_name))
			folder_remove(g->parent_fd, list[i]->d_name);
	list_free(list, count);
}

int generation_open(struct generation *g, const char *dir)
{
	char *slash;

	if (dir[0] != '/' || strlen(dir) >= sizeof(g->dir))
		return failed(g, -EINVAL, "%s: no absolute path", dir);
	strcpy(g->dir, dir);
	strcpy(g->parent, dir);
	slash = strrchr(g->parent, '/');
	*slash = 0;
	g->name = g->dir + (slash - g->parent) + 1;
	g->parent_fd = folder(AT_FDCWD, g->parent);
	if (g->parent_fd < 0)
		return failed(g, g->parent_fd, "cannot create %s", g->parent);
	if (committed(g, g->name))
		return failed(g, -EEXIST, "%s has been committed already", dir);
	g->fd = folder(g->parent_fd, g->name);
	if (g->fd < 0)
		return failed(g, g->fd, "cannot create %s", dir);
	g->store_fd = folder(g->parent_fd, "store");
	if (g->store_fd < 0)
		return failed(g, g->store_fd, "cannot create %s/store",
			      g->parent);
	if (faccessat(g->fd, ".", W_OK | X_OK, AT_EACCESS) < 0)
		return failed(g, -errno, "cannot write to %s", dir);
	sweep_unfinished(g);
	return 0;
}

int generation_space(struct generation *g, uint64_t memory, int compressed)
{
	struct statvfs fs;
	uint64_t free_bytes, least = memory / (compressed ? BEST_RATIO : 2);

	if (fstatvfs(g->fd, &fs) < 0)
		return failed(g, -errno, "cannot ask for the space of %s",
			      g->dir);
	free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
	if (free_bytes >= least + (64 << 10))
		return 0;
	return failed(g, -ENOSPC,
		      "%s has room for %llu MiB only, the processes hold %llu "
		      "MiB; free some or choose another directory",
		      g->parent, (unsigned long long)free_bytes >> 20,
		      (unsigned long long)memory >> 20);
}

/* ---- images ---- */

static void tmp_name(char *tmp, size_t size, const char *name)
{
	snprintf(tmp, size, "%s.tmp", name);
}

int generation_image_create(struct generation *g, const char *name, int *named)
{
	char tmp[NAME_MAX];
	int fd;

	*named = 0;
	fd = openat(g->fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd >= 0)
		return fd;
	if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)
		return failed(g, -errno, "cannot create an image in %s",
			      g->dir);
	*named = 1;
	tmp_name(tmp, sizeof(tmp), name);
	fd = openat(g->fd, tmp, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0)
		return failed(g, -errno, "cannot create %s/%s", g->dir, tmp);
	return fd;
}

static int header_check(struct generation *g, int fd, const char *name,
			uint64_t header_hash)
{
	struct image_header header;
	struct stat st;
	uint64_t hash;

	if (pread(fd, &header, sizeof(header), 0) != sizeof(header) ||
	    fstat(fd, &st) < 0)
		return failed(g, -EIO, "cannot read back %s", name);
	hash = XXH3_64bits(&header, offsetof(struct image_header, header_hash));
	if (memcmp(header.magic, IMAGE_MAGIC, sizeof(header.magic)) != 0 ||
	    header.header_hash != hash || hash != header_hash ||
	    header.file_size != (uint64_t)st.st_size)
		return failed(g, -EIO, "%s did not reach the disk as written",
			      name);
	return 0;
}

int generation_image_keep(struct generation *g, int fd, const char *name,
			  int named, uint64_t header_hash)
{
	char from[NAME_MAX];
	int ret = header_check(g, fd, name, header_hash);

	if (ret < 0)
		return ret;
	if (named) {
		tmp_name(from, sizeof(from), name);
		ret = renameat(g->fd, from, g->fd, name);
	} else {
		snprintf(from, sizeof(from), "/proc/self/fd/%d", fd);
		ret = linkat(AT_FDCWD, from, g->fd, name, AT_SYMLINK_FOLLOW);
	}
	if (ret < 0)
		return failed(g, -errno, "cannot name %s/%s", g->dir, name);
	return 0;
}

int generation_image_check(struct generation *g, const char *name,
			   uint64_t header_hash)
{
	int ret, fd = openat(g->fd, name, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return failed(g, -errno, "%s/%s has gone", g->dir, name);
	ret = header_check(g, fd, name, header_hash);
	close(fd);
	return ret;
}

void generation_image_remove(struct generation *g, const char *name)
{
	char tmp[NAME_MAX];

	tmp_name(tmp, sizeof(tmp), name);
	unlinkat(g->fd, name, 0);
	unlinkat(g->fd, tmp, 0);
}

/* ---- the end of a generation ---- */

int generation_text_write(int at, const char *name, const json_t *value)
{
	char *text = json_dumps(value, JSON_INDENT(1) | JSON_SORT_KEYS);
	size_t length = text ? strlen(text) : 0, written = 0;
	int fd, ret = 0;

	if (!text)
		return -ENOMEM;
	fd = openat(at, name, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
	if (fd < 0)
		ret = -errno;
	while (ret == 0 && written < length) {
		ssize_t n = write(fd, text + written, length - written);

		if (n < 0)
			ret = -errno;
		else
			written += (size_t)n;
	}
	if (ret == 0 && fsync(fd) < 0)
		ret = -errno;
	if (fd >= 0 && close(fd) < 0 && ret == 0)
		ret = -errno;
	free(text);
	return ret;
}

json_t *generation_text_read(int at, const char *name)
{
	int fd = openat(at, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	FILE *file = fd < 0 ? NULL : fdopen(fd, "r");
	json_error_t error;
	json_t *value;

	if (!file) {
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	/* Not json_loadfd(), which reads byte by byte. */
	value = json_loadf(file, 0, &error);
	fclose(file);
	return value;
}

static void warn(json_t *warnings, const char *what, int ret)
{
	json_t *line = json_sprintf("%s: %s", what, strerror(-ret));

	log_line("%s: %s", what, strerror(-ret));
	json_array_append_new(warnings, line);
}

static int latest_move(struct generation *g)
{
	unlinkat(g->parent_fd, "latest.tmp", 0);
	if (symlinkat(g->name, g->parent_fd, "latest.tmp") < 0 ||
	    renameat(g->parent_fd, "latest.tmp", g->parent_fd, "latest") < 0)
		return -errno;
	return fsync(g->parent_fd) < 0 ? -errno : 0;
}

/* Every name of a store file stands in a manifest as a string of 32 digits,
 * whatever else is there: note them all in `used`. */
static void names_note(const json_t *value, json_t *used)
{
	const char *text, *key;
	json_t *inner;
	size_t i;

	switch (json_typeof(value)) {
	case JSON_STRING:
		text = json_string_value(value);
		if (strlen(text) == 32 &&
		    strspn(text, "0123456789abcdef") == 32)
			json_object_set_new(used, text, json_true());
		break;
	case JSON_ARRAY:
		json_array_foreach (value, i, inner)
			names_note(inner, used);
		break;
	case JSON_OBJECT:
		json_object_foreach ((json_t *)value, key, inner)
			names_note(inner, used);
		break;
	default:
		break;
	}
}

static int manifest_names(struct generation *g, const char *name, json_t *used)
{
	char path[NAME_MAX + sizeof(MANIFEST) + 2];
	json_t *manifest;

	snprintf(path, sizeof(path), "%s/%s", name, MANIFEST);
	manifest = generation_text_read(g->parent_fd, path);
	if (!manifest)
		return -EPROTO;
	names_note(manifest, used);
	json_decref(manifest);
	return 0;
}

static int is_stored(const struct dirent *entry)
{
	return strlen(entry->d_name) == 32 &&
	       strspn(entry->d_name, "0123456789abcdef") == 32;
}

/* What no manifest names any more. If one cannot be read, nothing goes. */
static int store_prune(struct generation *g)
{
	json_t *used = json_object();
	struct dirent **list = NULL;
	int count, ret = 0;

	count = generations(g, &list);
	for (int i = 0; i < count && ret == 0; i++)
		if (committed(g, list[i]->d_name))
			ret = manifest_names(g, list[i]->d_name, used);
	list_free(list, count);
	if (ret < 0)
		goto out;
	count = scandirat(g->store_fd, ".", &list, is_stored, NULL);
	for (int i = 0; i < count; i++)
		if (!json_object_get(used, list[i]->d_name))
			unlinkat(g->store_fd, list[i]->d_name, 0);
	list_free(list, count);
out:
	json_decref(used);
	return ret;
}

static int prune(struct generation *g, unsigned keep)
{
	struct dirent **list;
	unsigned good = 0;
	int count = generations(g, &list), ret = 0, failed_one;

	if (count < 0)
		return -errno;
	for (int i = count - 1; i >= 0; i--) {
		if (!committed(g, list[i]->d_name) || ++good <= keep)
			continue;
		failed_one = folder_remove(g->parent_fd, list[i]->d_name);
		if (failed_one < 0)
			ret = failed_one;
	}
	list_free(list, count);
	if (ret == 0)
		ret = store_prune(g);
	return ret;
}

int generation_is_committed(struct generation *g)
{
	return exists(g->fd, MANIFEST);
}

int generation_commit(struct generation *g, const json_t *manifest,
		      unsigned keep, json_t *warnings)
{
	int ret;

	/* What the manifest names must be there before it is. */
	if (fsync(g->fd) < 0 || fsync(g->store_fd) < 0 ||
	    fsync(g->parent_fd) < 0)
		return failed(g, -errno, "cannot sync %s", g->parent);
	ret = generation_text_write(g->fd, MANIFEST_TMP, manifest);
	if (ret == 0 && worker_cancelled())
		ret = -ECANCELED; /* the last moment to say no */
	if (ret == 0 && renameat(g->fd, MANIFEST_TMP, g->fd, MANIFEST) < 0)
		ret = -errno;
	if (ret == 0 && fsync(g->fd) < 0)
		ret = -errno;
	if (ret < 0) {
		unlinkat(g->fd, MANIFEST_TMP, 0);
		unlinkat(g->fd, MANIFEST, 0);
		return failed(g, ret, "cannot write %s/%s", g->dir, MANIFEST);
	}
	/* It counts now: from here on there are only warnings. */
	ret = latest_move(g);
	if (ret < 0)
		warn(warnings, "cannot move the link `latest`", ret);
	ret = prune(g, keep > 0 ? keep : 1);
	if (ret < 0)
		warn(warnings, "cannot remove old generations", ret);
	return 0;
}

void generation_discard(struct generation *g)
{
	if (g->fd >= 0) {
		unlinkat(g->fd, MANIFEST_TMP, 0);
		unlinkat(g->parent_fd, g->name, AT_REMOVEDIR);
	}
	/* Goes only when it is empty: then no generation needs it. */
	if (g->store_fd >= 0)
		unlinkat(g->parent_fd, "store", AT_REMOVEDIR);
}

/* The registry may be written to by all members, also by those who are not
 * root any more: only what looks like one, and is ours alone. */
static int looks_like_one(const char *dir)
{
	const char *name = strrchr(dir, '/');
	struct stat st;

	return dir[0] == '/' && strncmp(name + 1, PREFIX, strlen(PREFIX)) == 0 &&
	       lstat(dir, &st) == 0 && S_ISDIR(st.st_mode) &&
	       st.st_uid == geteuid() && !(st.st_mode & 077);
}

void generation_sweep(const char *dir)
{
	char manifest[PATH_MAX + 16];

	snprintf(manifest, sizeof(manifest), "%s/%s", dir, MANIFEST);
	if (looks_like_one(dir) && !exists(AT_FDCWD, manifest) && folder_remove(AT_FDCWD, dir) == 0)
		log_line("removed %s: its checkpoint was cut off", dir);
}
