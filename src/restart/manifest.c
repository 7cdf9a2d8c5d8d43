/* SPDX-License-Identifier: MIT */
/*
 * Finding the generation to restart. The user may name the checkpoint
 * directory, a computation's folder or one generation; the newest that has a
 * manifest is taken, as only the manifest makes it count.
 */
#define _GNU_SOURCE
#include "restart/job.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "restart/say.h"

static int has(const char *folder, const char *name, struct stat *st)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/%s", folder, name) >=
	    (int)sizeof(path))
		return 0;
	return stat(path, st) == 0;
}

/* "gen-000007" -> 7; 0: it is no generation's name. */
static uint64_t generation_of(const char *name)
{
	uint64_t number;
	char *end;

	if (strncmp(name, "gen-", 4) != 0 || name[4] < '0' || name[4] > '9')
		return 0;
	number = strtoull(name + 4, &end, 10);
	return *end ? 0 : number;
}

/* The newest committed generation of a computation's folder (or just the one
 * asked for); 0: there is none. when: of its manifest. */
static uint64_t newest_in(const char *folder, uint64_t wanted, char *name,
			  size_t size, struct timespec *when)
{
	struct dirent *entry;
	struct stat st;
	char manifest[NAME_MAX + 20];
	uint64_t best = 0, number;
	DIR *dir = opendir(folder);

	if (!dir)
		return 0;
	while ((entry = readdir(dir))) {
		number = generation_of(entry->d_name);
		if (number <= best || (wanted && number != wanted))
			continue;
		snprintf(manifest, sizeof(manifest), "%s/manifest.json",
			 entry->d_name);
		if (!has(folder, manifest, &st))
			continue;
		best = number;
		*when = st.st_mtim;
		snprintf(name, size, "%s", entry->d_name);
	}
	closedir(dir);
	return best;
}

static int later(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec != b->tv_sec ? a->tv_sec > b->tv_sec
				      : a->tv_nsec > b->tv_nsec;
}

/* The computation with the newest checkpoint in a checkpoint directory. */
static char *newest_computation(const char *folder, uint64_t wanted)
{
	struct timespec when, best = {0, 0};
	struct dirent *entry;
	char *found = NULL, *path, name[NAME_MAX + 1];
	DIR *dir = opendir(folder);

	if (!dir)
		return NULL;
	while ((entry = readdir(dir))) {
		if (strncmp(entry->d_name, "ckpt-", 5) != 0)
			continue;
		if (asprintf(&path, "%s/%s", folder, entry->d_name) < 0)
			fail("out of memory while looking for checkpoints");
		if (newest_in(path, wanted, name, sizeof(name), &when) &&
		    (!found || later(&when, &best))) {
			free(found);
			found = path;
			best = when;
		} else {
			free(path);
		}
	}
	closedir(dir);
	return found;
}

static char *copy(const char *s)
{
	char *c = strdup(s);

	if (!c)
		fail("out of memory while looking for checkpoints");
	return c;
}

static char *parent_of(const char *path)
{
	char *parent = copy(path), *slash = strrchr(parent, '/');

	if (slash && slash != parent)
		*slash = 0;
	return parent;
}

static void locate(struct job *job, const char *where)
{
	uint64_t wanted = job->options->generation;
	struct timespec when;
	struct stat st;
	char *folder = realpath(where, NULL), name[NAME_MAX + 1];

	if (!folder)
		fail("%s: %s: name the checkpoint directory, a computation's folder (ckpt-NAME-ID) or one generation in it",
		     where, strerror(errno));
	if (stat(folder, &st) < 0 || !S_ISDIR(st.st_mode))
		fail("%s is no directory: name the one that holds the checkpoints",
		     where);
	if (has(folder, "manifest.json", &st)) {
		job->generation_dir = folder;
		job->computation_dir = parent_of(folder);
		return;
	}
	if (generation_of(strrchr(folder, '/') + 1))
		fail("%s has no manifest: this checkpoint was not finished; name its parent for the newest that was",
		     folder);
	job->computation_dir = newest_in(folder, wanted, name, sizeof(name),
					 &when)
				       ? folder
				       : newest_computation(folder, wanted);
	if (!job->computation_dir && wanted)
		fail("%s holds no finished checkpoint of generation %llu: see `ckpt_image list %s`",
		     folder, (unsigned long long)wanted, where);
	if (!job->computation_dir)
		fail("%s holds no finished checkpoint: make one with `ckpt_command -c`, or name another directory",
		     folder);
	newest_in(job->computation_dir, wanted, name, sizeof(name), &when);
	if (asprintf(&job->generation_dir, "%s/%s", job->computation_dir,
		     name) < 0)
		fail("out of memory while looking for checkpoints");
	if (folder != job->computation_dir)
		free(folder);
}

static const char *text_of(const struct job *job, const char *key)
{
	const char *text = json_string_value(json_object_get(job->manifest, key));

	return text ? text : "";
}

void manifest_read(struct job *job, const char *where)
{
	char path[PATH_MAX];
	json_error_t error;
	const char *slash, *files;
	json_t *options;

	locate(job, where);
	snprintf(path, sizeof(path), "%s/manifest.json", job->generation_dir);
	job->manifest = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
	if (!job->manifest)
		fail("%s cannot be read (%s): restart an older generation (--generation)",
		     path, error.text);
	if (!json_is_object(job->manifest))
		fail("%s is damaged: restart an older generation (--generation)",
		     path);
	job->generation = (uint64_t)json_integer_value(
		json_object_get(job->manifest, "generation"));
	slash = strrchr(job->generation_dir, '/');
	if (!job->generation && slash)
		job->generation = generation_of(slash + 1);
	/* Without their content files cannot be rolled back. */
	options = json_object_get(job->manifest, "options");
	files = json_string_value(json_object_get(options, "files"));
	if (!job->options->files_said && files &&
	    strcmp(files, "reopen") == 0)
		job->options->reopen = 1;
	job->groups = (int)json_array_size(
		json_object_get(job->manifest, "groups"));
	if (job->groups < 1)
		job->groups = 1;
	job->name = copy(text_of(job, "name"));
	job->id = copy(text_of(job, "computation"));
}

const char *manifest_host(const struct job *job, int group)
{
	const char *host = json_string_value(json_object_get(
		json_array_get(json_object_get(job->manifest, "groups"),
			       (size_t)group),
		"host"));

	return host ? host : "";
}

static void keep_group(json_t *manifest, const char *key, int group)
{
	json_t *kept = json_array(), *entry;
	size_t i;

	json_array_foreach(json_object_get(manifest, key), i, entry)
		if (json_integer_value(json_object_get(entry, "group")) == group)
			json_array_append(kept, entry);
	if (!kept || json_object_set_new(manifest, key, kept) < 0)
		fail("out of memory while reading the manifest");
}

void manifest_take_group(struct job *job, int group)
{
	json_t *groups = json_object_get(job->manifest, "groups"), *kept;

	if (group >= job->groups)
		fail("--group %d: %s has %d host group%s, the first is 0",
		     group, job->generation_dir, job->groups,
		     job->groups == 1 ? "" : "s");
	job->group = group;
	if (job->groups == 1)
		return;
	keep_group(job->manifest, "images", group);
	keep_group(job->manifest, "files", group);
	kept = json_pack("[O]", json_array_get(groups, (size_t)group));
	if (!kept || json_object_set_new(job->manifest, "groups", kept) < 0)
		fail("out of memory while reading the manifest");
}

static int64_t number_of(const json_t *entry, const char *key)
{
	return (int64_t)json_integer_value(json_object_get(entry, key));
}

const char *manifest_store_name(const struct job *job,
				const struct image_file *file)
{
	json_t *files = json_object_get(job->manifest, "files"), *entry;
	size_t i;

	json_array_foreach(files, i, entry) {
		const char *hash = json_string_value(
			json_object_get(entry, "hash"));

		if (number_of(entry, "dev") != (int64_t)file->dev ||
		    number_of(entry, "ino") != (int64_t)file->ino ||
		    number_of(entry, "size") != (int64_t)file->size ||
		    number_of(entry, "mtime") != file->mtime)
			continue;
		if (hash && *hash && !strchr(hash, '/'))
			return hash;
	}
	return NULL;
}
