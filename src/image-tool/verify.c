// SPDX-License-Identifier: MIT
/*
 * Is all there that a restart would need, and is it whole? Everything is
 * read. The names in a manifest are not believed: no path leads elsewhere.
 */
#define _GNU_SOURCE
#define XXH_INLINE_ALL
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "image-tool/image-tool.h"

#define PIECE (1u << 20)

static json_t *result_new(void)
{
	return json_pack("{s:b, s:i, s:i, s:[]}", "ok", 1, "checked", 0,
			 "bytes", 0, "problems");
}

static void result_problem(json_t *result, const char *line, int say)
{
	json_object_set_new(result, "ok", json_false());
	json_array_append_new(json_object_get(result, "problems"),
			      text_json(line, strlen(line)));
	if (say)
		printf("%s\n", line);
}

static void result_count(json_t *result, int64_t checked, uint64_t bytes)
{
	json_t *n = json_object_get(result, "checked");
	json_t *b = json_object_get(result, "bytes");

	json_integer_set(n, json_integer_value(n) + checked);
	json_integer_set(b, json_integer_value(b) + (json_int_t)bytes);
}

static unsigned cpus(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return 1;
	return (unsigned)CPU_COUNT(&set);
}

static void check_image(json_t *result, const char *path,
			const char *header_hash, int say)
{
	struct image_reader r;
	char hash[20], line[PATH_MAX + 320];
	int ret = image_reader_open(&r, AT_FDCWD, path);

	if (ret < 0) {
		result_problem(result, r.error, say);
		return;
	}
	snprintf(hash, sizeof(hash), "%016" PRIx64, r.header.header_hash);
	if (header_hash && strcmp(hash, header_hash) != 0) {
		snprintf(line, sizeof(line),
			 "%s: not the image that the manifest names (header "
			 "hash %s, not %s): use an older generation",
			 path, hash, header_hash);
		result_problem(result, line, say);
	} else if (image_reader_verify_blocks(&r, cpus()) < 0) {
		result_problem(result, r.error, say);
	} else {
		result_count(result, 1, r.header.file_size);
		if (say)
			printf("%s: good, %" PRIu64 " blocks\n", path,
			       r.header.block_count);
	}
	image_reader_close(&r);
}

json_t *verify_image(const char *path, const char *header_hash, int say)
{
	json_t *result = result_new();

	check_image(result, path, header_hash, say);
	return result;
}

/* The name a file has in the store: the XXH3-128 of its content. 0, -errno. */
static int content_name(int fd, char name[33])
{
	XXH3_state_t *state = XXH3_createState();
	unsigned char *piece = malloc(PIECE);
	XXH128_canonical_t digest;
	ssize_t n = -1;
	size_t i;
	int ret = -ENOMEM;

	if (!state || !piece)
		goto out;
	XXH3_128bits_reset(state);
	do {
		n = read(fd, piece, PIECE);
		if (n > 0)
			XXH3_128bits_update(state, piece, (size_t)n);
	} while (n > 0 || (n < 0 && errno == EINTR));
	ret = n < 0 ? -errno : 0;
	XXH128_canonicalFromHash(&digest, XXH3_128bits_digest(state));
	for (i = 0; i < sizeof(digest.digest); i++)
		snprintf(name + 2 * i, 3, "%02x", digest.digest[i]);
out:
	XXH3_freeState(state);
	free(piece);
	return ret;
}

static int plain_name(const char *name)
{
	return name && *name && *name != '.' && !strchr(name, '/');
}

/* 0, or -errno: -EUCLEAN when it is there but not what it should be. */
static int check_stored(const char *path, const char *name, uint64_t *size)
{
	char found[33];
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	int ret;

	if (fd < 0)
		return -errno;
	ret = fstat(fd, &st) < 0 ? -errno : content_name(fd, found);
	close(fd);
	if (ret == 0 && strcmp(found, name) != 0)
		ret = -EUCLEAN;
	*size = ret < 0 ? 0 : (uint64_t)st.st_size;
	return ret;
}

static void check_store(json_t *result, const struct generation *g, int say)
{
	json_t *seen = json_object(), *file;
	char store[PATH_MAX + 16], path[PATH_MAX + 96], line[3 * PATH_MAX];
	const char *name, *of, *slash = strrchr(g->path, '/');
	uint64_t size = 0;
	size_t i;
	int ret;

	snprintf(store, sizeof(store), "%.*s/store", (int)(slash - g->path),
		 g->path);
	json_array_foreach(json_object_get(g->manifest, "files"), i, file) {
		name = json_string_value(json_object_get(file, "hash"));
		of = json_string_value(json_object_get(file, "path"));
		if (!plain_name(name)) {
			snprintf(line, sizeof(line),
				 "%s/manifest.json: entry %zu of \"files\" "
				 "names nothing in the store: use an older "
				 "generation", g->path, i);
			result_problem(result, line, say);
			continue;
		}
		if (json_object_get(seen, name))
			continue;
		json_object_set_new(seen, name, json_true());
		snprintf(path, sizeof(path), "%s/%.64s", store, name);
		ret = check_stored(path, name, &size);
		if (ret == 0) {
			result_count(result, 1, size);
			continue;
		}
		snprintf(line, sizeof(line),
			 "%s (%s): %s: use an older generation", path,
			 of ? of : "?",
			 ret == -EUCLEAN ? "damaged" : strerror(-ret));
		result_problem(result, line, say);
	}
	if (say && json_object_size(seen))
		printf("%s: %zu files read\n", store, json_object_size(seen));
	json_decref(seen);
}

json_t *verify_generation(const struct generation *g, int say)
{
	json_t *result = result_new(), *images, *image;
	char path[PATH_MAX + 300], line[PATH_MAX + 160];
	const char *file, *hash;
	size_t i;

	if (!g->manifest) {
		result_problem(result, g->error, say);
		return result;
	}
	images = json_object_get(g->manifest, "images");
	if (json_array_size(images) == 0) {
		snprintf(line, sizeof(line),
			 "%s/manifest.json: names no image: use an older "
			 "generation", g->path);
		result_problem(result, line, say);
	}
	json_array_foreach(images, i, image) {
		file = json_string_value(json_object_get(image, "file"));
		hash = json_string_value(
			json_object_get(image, "header_hash"));
		if (!plain_name(file) || !hash) {
			snprintf(line, sizeof(line),
				 "%s/manifest.json: entry %zu of \"images\" "
				 "makes no sense: use an older generation",
				 g->path, i);
			result_problem(result, line, say);
			continue;
		}
		snprintf(path, sizeof(path), "%s/%.255s", g->path, file);
		check_image(result, path, hash, say);
	}
	check_store(result, g, say);
	return result;
}
