/* SPDX-License-Identifier: MIT */
/*
 * ckpt_image: looks at checkpoints without restarting them.
 *
 *	find.c		which generations there are, which one is meant
 *	describe.c	an image as JSON
 *	show.c		that JSON for people
 *	verify.c	is all of it there, and whole?
 *	objects.c	what the plugins say of their records
 */
#ifndef IMAGE_TOOL_H
#define IMAGE_TOOL_H

#include <jansson.h>
#include <limits.h>
#include <stddef.h>
#include <stdint.h>

#include "image/reader.h"

/* One generation's folder. */
struct generation {
	char path[PATH_MAX];
	uint64_t number;
	int committed;	  /* has a manifest */
	int64_t time;	  /* of the manifest, else of the folder; s */
	json_t *manifest; /* NULL: none, or it cannot be read ... */
	char error[PATH_MAX + 256]; /* ... and this is why */
};

struct generations {
	struct generation *list; /* by computation, ascending */
	size_t count;
};

/* All that DIR means: a checkpoint directory, a computation's folder, or one
 * generation. 0, or -errno with a line in err. */
int find_all(const char *dir, struct generations *all, char *err, size_t size);
/* The newest committed one of them with this number (0: any), or NULL. */
struct generation *find_newest(struct generations *all, uint64_t number);
void find_free(struct generations *all);

/* A JSON string of any bytes; what is not UTF-8 becomes \xNN. */
json_t *text_json(const char *bytes, size_t length);
/* "2024-01-31 12:00:00", local time; and with T and Z for JSON. */
void text_time(int64_t seconds, char *text, size_t size, int iso);
/* "1.5 GiB" */
void text_bytes(uint64_t bytes, char *text, size_t size);

json_t *describe_image(const struct image_reader *r, const char *path);
void show_image(const json_t *image);
void show_generation(const struct generation *g);

/* What a plugin says of a record: 1 and a line, 0 when `kind` is no plugin's. */
int object_show(const struct image_record *record, const void *body,
		char *line, size_t size, const char **kind, uint32_t *id);

/* Result: {"ok": bool, "checked": n, "bytes": n, "problems": [...]}. `say`:
 * a line for each thing that is done. */
json_t *verify_image(const char *path, const char *header_hash, int say);
json_t *verify_generation(const struct generation *g, int say);

#endif
