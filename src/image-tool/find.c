// SPDX-License-Identifier: MIT
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "image-tool/image-tool.h"

/* "gen-000007" is 7; 0: no generation's name. */
static uint64_t generation_number(const char *name)
{
	uint64_t number;
	char *end;

	if (strncmp(name, "gen-", 4) != 0 || name[4] < '0' || name[4] > '9')
		return 0;
	errno = 0;
	number = strtoull(name + 4, &end, 10);
	return *end || errno ? 0 : number;
}

static void manifest_load(struct generation *g, const char *path)
{
	json_error_t error;

	g->manifest = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
	if (g->manifest && !json_is_object(g->manifest)) {
		json_decref(g->manifest);
		g->manifest = NULL;
		snprintf(error.text, sizeof(error.text), "not an object");
	}
	if (!g->manifest)
		snprintf(g->error, sizeof(g->error),
			 "%s: damaged (%s): use an older generation", path,
			 error.text);
}

static int generation_add(struct generations *all, const char *path,
			  uint64_t number)
{
	struct generation *g;
	char manifest[PATH_MAX];
	struct stat st;

	g = reallocarray(all->list, all->count + 1, sizeof(*g));
	if (!g)
		return -ENOMEM;
	all->list = g;
	g += all->count;
	memset(g, 0, sizeof(*g));
	if (snprintf(g->path, sizeof(g->path), "%s", path) >=
		    (int)sizeof(g->path) ||
	    snprintf(manifest, sizeof(manifest), "%s/manifest.json", path) >=
		    (int)sizeof(manifest))
		return -ENAMETOOLONG;
	all->count++;
	g->number = number;
	if (stat(manifest, &st) == 0) {
		g->committed = 1;
		manifest_load(g, manifest);
	} else if (stat(path, &st) < 0) {
		st.st_mtime = 0;
	}
	g->time = st.st_mtime;
	if (!g->committed)
		snprintf(g->error, sizeof(g->error),
			 "%s: not finished (no manifest): use another "
			 "generation", path);
	return 0;
}

static int in_order(const struct dirent **a, const struct dirent **b)
{
	uint64_t x = generation_number((*a)->d_name);
	uint64_t y = generation_number((*b)->d_name);

	return x != y ? (x < y ? -1 : 1) : strcmp((*a)->d_name, (*b)->d_name);
}

static int is_generation(const struct dirent *entry)
{
	return generation_number(entry->d_name) != 0;
}

static int is_computation(const struct dirent *entry)
{
	return strncmp(entry->d_name, "ckpt-", 5) == 0;
}

/* Calls what() for each entry of the folder that `wanted` says yes to. */
static int each(const char *folder, int (*wanted)(const struct dirent *),
		int (*what)(struct generations *all, const char *path,
			    uint64_t number),
		struct generations *all)
{
	struct dirent **entries;
	char path[PATH_MAX];
	int n = scandir(folder, &entries, wanted, in_order), ret = 0, i;

	if (n < 0)
		return -errno;
	for (i = 0; i < n; i++) {
		if (ret == 0 &&
		    snprintf(path, sizeof(path), "%s/%s", folder,
			     entries[i]->d_name) >= (int)sizeof(path))
			ret = -ENAMETOOLONG;
		if (ret == 0)
			ret = what(all, path,
				   generation_number(entries[i]->d_name));
		free(entries[i]);
	}
	free(entries);
	return ret;
}

static int computation_add(struct generations *all, const char *path,
			   uint64_t number)
{
	int ret = each(path, is_generation, generation_add, all);

	(void)number;
	/* Something else may have such a name. */
	return ret == -ENOTDIR ? 0 : ret;
}

int find_all(const char *dir, struct generations *all, char *err, size_t size)
{
	char path[PATH_MAX], manifest[PATH_MAX + 16], *name;
	int ret = -EINVAL;

	memset(all, 0, sizeof(*all));
	if (!realpath(dir, path)) {
		ret = -errno;
		goto out;
	}
	name = strrchr(path, '/') + 1;
	snprintf(manifest, sizeof(manifest), "%s/manifest.json", path);
	if (generation_number(name) || access(manifest, F_OK) == 0) {
		ret = generation_add(all, path, generation_number(name));
		goto out;
	}
	ret = computation_add(all, path, 0);
	if (ret == 0 && all->count == 0)
		ret = each(path, is_computation, computation_add, all);
out:
	if (ret < 0) {
		snprintf(err, size, "%s: %s", dir, strerror(-ret));
		find_free(all);
	}
	return ret;
}

static int newer(const struct generation *a, const struct generation *b)
{
	if (a->time != b->time)
		return a->time > b->time;
	return a->number >= b->number;
}

struct generation *find_newest(struct generations *all, uint64_t number)
{
	struct generation *best = NULL;
	size_t i;

	for (i = 0; i < all->count; i++) {
		struct generation *g = &all->list[i];

		if (g->committed && (!number || g->number == number) &&
		    (!best || newer(g, best)))
			best = g;
	}
	return best;
}

void find_free(struct generations *all)
{
	size_t i;

	for (i = 0; i < all->count; i++)
		json_decref(all->list[i].manifest);
	free(all->list);
	memset(all, 0, sizeof(*all));
}
