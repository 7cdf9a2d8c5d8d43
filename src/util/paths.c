/* SPDX-License-Identifier: MIT */
/*
 * Finding our own files. In the build tree all of them lie in one folder.
 * Installed, they lie in three, whose way from one to another is known from
 * configure; so it is walked from where this program really is.
 */
#define _GNU_SOURCE
#include "util/paths.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The folder of this program, without symlinks. */
static int own_folder(char *folder, size_t size)
{
	ssize_t length = readlink("/proc/self/exe", folder, size);
	char *slash;

	if (length < 0)
		return -errno;
	if ((size_t)length == size)
		return -ENAMETOOLONG;
	folder[length] = 0;
	slash = strrchr(folder, '/');
	if (!slash)
		return -ENOENT;
	*slash = 0;
	return 0;
}

static int found(char *path, size_t size, const char *folder, const char *way,
		 const char *name)
{
	int length = snprintf(path, size, "%s/%s%s", folder, way, name);

	if (length < 0 || (size_t)length >= size)
		return 0;
	return access(path, R_OK) == 0;
}

/* "../lib/ckpt/" from /usr/bin to /usr/lib/ckpt. */
static int way_between(const char *from, const char *to, char *way, size_t size)
{
	size_t i, same = 0;
	char *at = way, *end = way + size;
	const char *up;

	for (i = 0;; i++) {
		int from_ends = from[i] == '/' || !from[i];
		int to_ends = to[i] == '/' || !to[i];

		if (from_ends && to_ends)
			same = i;
		if (from[i] != to[i] || !from[i])
			break;
	}
	for (up = from + same; *up; up++)
		if (*up == '/') {
			if (end - at < 4)
				return -ENAMETOOLONG;
			at = stpcpy(at, "../");
		}
	for (to += same; *to == '/'; to++)
		;
	if ((size_t)(end - at) < strlen(to) + 2)
		return -ENAMETOOLONG;
	at = stpcpy(at, to);
	if (*to)
		stpcpy(at, "/");
	else
		*at = 0;
	return 0;
}

static int find_in(const char *installed, const char *name, char *path,
		   size_t size)
{
	static const char *const from[] = {CKPT_BINDIR, CKPT_LIBEXECDIR};
	char folder[PATH_MAX], way[PATH_MAX], clean[PATH_MAX];
	size_t i;

	if (own_folder(folder, sizeof(folder)) == 0) {
		if (found(clean, sizeof(clean), folder, "", name))
			goto out;
		for (i = 0; i < sizeof(from) / sizeof(*from); i++)
			if (way_between(from[i], installed, way,
					sizeof(way)) == 0 &&
			    found(clean, sizeof(clean), folder, way, name))
				goto out;
	}
	if (!found(clean, sizeof(clean), installed, "", name))
		return -ENOENT;
out:
	if (!realpath(clean, folder))
		return -errno;
	if (strlen(folder) >= size)
		return -ENAMETOOLONG;
	strcpy(path, folder);
	return 0;
}

int util_find_library(char *path, size_t size)
{
	return find_in(CKPT_LIBDIR, "libckpt.so", path, size);
}

int util_find_program(const char *name, char *path, size_t size)
{
	int ret = find_in(CKPT_BINDIR, name, path, size);

	return ret == -ENOENT ? find_in(CKPT_LIBEXECDIR, name, path, size)
			      : ret;
}
