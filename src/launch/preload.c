/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "launch/preload.h"

#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/paths.h"
#include "util/runtime.h"

static int is_plain(const char *path)
{
	return !strpbrk(path, " \t\n:$");
}

/* A folder of ours without them: the runtime directory may be under one that
 * has some. */
static int plain_folder(char *folder, size_t size, char *err, size_t errsize)
{
	int ret = util_runtime(folder, size, err, errsize);

	if (ret < 0 || is_plain(folder))
		return ret;
	snprintf(folder, size, "/tmp/ckpt-%u", geteuid());
	return util_private_dir(folder, err, errsize);
}

static int make_link(const char *target, const char *path)
{
	char there[PATH_MAX], temporary[PATH_MAX + 16];
	ssize_t n = readlink(path, there, sizeof(there) - 1);

	if (n > 0) {
		there[n] = '\0';
		if (!strcmp(there, target))
			return 0;
	}
	snprintf(temporary, sizeof(temporary), "%s.%d", path, (int)getpid());
	if (symlink(target, temporary) < 0)
		return -errno;
	if (rename(temporary, path) < 0) {
		int ret = -errno;

		unlink(temporary);
		return ret;
	}
	return 0;
}

int preload_path(const char *target, char *path, size_t size, char *err,
		 size_t errsize)
{
	const char *base = strrchr(target, '/');
	uint64_t hash =
		14695981039346656037u; /* FNV-1a, to tell builds apart */
	size_t length;
	int ret;

	if (is_plain(target)) {
		if (strlen(target) >= size)
			return -ENAMETOOLONG;
		strcpy(path, target);
		return 0;
	}
	ret = plain_folder(path, size, err, errsize);
	if (ret < 0)
		return ret;
	for (const char *c = target; *c; c++)
		hash = (hash ^ (unsigned char)*c) * 1099511628211u;
	length = strlen(path);
	ret = snprintf(path + length, size - length, "/%016llx-%s",
		       (unsigned long long)hash,
		       base && is_plain(base) ? base + 1 : "plugin.so");
	if (ret < 0 || (size_t)ret >= size - length)
		return -ENAMETOOLONG;
	ret = make_link(target, path);
	if (ret < 0)
		snprintf(err, errsize, "cannot make the link %s: %s", path,
			 strerror(-ret));
	return ret;
}

int preload_library(char *path, size_t size, char *err, size_t errsize)
{
	char target[PATH_MAX];
	int ret = util_find_library(target, sizeof(target));

	if (ret < 0) {
		snprintf(err, errsize,
			 "libckpt.so is not where we are "
			 "installed: install ckpt again");
		return ret;
	}
	return preload_path(target, path, size, err, errsize);
}

/* Ours may be there already: ckpt_launch inside a launched program. */
static int is_ours(const char *entry, size_t length, const char *library)
{
	static const char name[] = "libckpt.so";
	size_t n = sizeof(name) - 1;

	if (length == strlen(library) && !strncmp(entry, library, length))
		return 1;
	return length >= n && !strncmp(entry + length - n, name, n);
}

char *preload_value(const char *library, const char *plugins, const char *old)
{
	char *value = NULL;
	size_t size, length;
	FILE *out = open_memstream(&value, &size);

	if (!out)
		return NULL;
	fputs(library, out);
	if (plugins && *plugins)
		fprintf(out, ":%s", plugins);
	for (old = old ? old : ""; *old; old += length) {
		old += strspn(old, " :");
		length = strcspn(old, " :");
		if (length && !is_ours(old, length, library))
			fprintf(out, ":%.*s", (int)length, old);
	}
	return fclose(out) ? NULL : value;
}
