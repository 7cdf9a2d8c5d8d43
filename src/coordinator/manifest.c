/* SPDX-License-Identifier: MIT */
/*
 * The manifest: what makes a generation count, and all a restart has to know
 * before it opens an image. MANIFEST_SCHEMA is bumped when a reader of the
 * old one would go wrong.
 */
#define _GNU_SOURCE
#include <string.h>
#include <time.h>

#include "coordinator/coordinator.h"

#define MANIFEST_SCHEMA 1

/* group: its place in "groups", -1: of no matter. */
static void append(json_t *all, const json_t *from, const char *key, int group)
{
	json_t *entry;
	size_t i;

	json_array_foreach (json_object_get(from, key), i, entry) {
		if (group >= 0)
			json_object_set_new(entry, "group",
					    json_integer(group));
		json_array_append(all, entry);
	}
}

json_t *manifest_make(const struct checkpoint_figures *figures,
		      const json_t *options)
{
	json_t *groups = json_array(), *images = json_array();
	json_t *files = json_array(), *warnings = json_array(), *written;
	char when[32];
	time_t seconds = time(NULL);
	struct tm tm;
	struct group *g;
	int index = 0;

	strftime(when, sizeof(when), "%FT%TZ", gmtime_r(&seconds, &tm));
	for (g = groups_first(); g; g = g->next) {
		if (!g->taking_part)
			continue;
		written = g->figures[PHASE_WRITE];
		json_array_append_new(
			groups,
			json_pack("{s:o, s:I, s:b, s:O?, s:O*, s:O*}", "host",
				  wire_text(g->host), "group",
				  (json_int_t)g->number, "capsule", g->capsule,
				  "facts", json_object_get(written, "facts"),
				  "tree", json_object_get(written, "tree"),
				  "shared",
				  json_object_get(written, "shared")));
		append(images, written, "images", index);
		append(warnings, written, "warnings", -1);
		/* Device and inode mean something on that host only. */
		append(files, written, "files", index++);
	}
	return json_pack(
		"{s:i, s:s, s:s, s:i, s:s, s:I, s:o, s:o, s:o, s:o, s:O, "
		"s:I, s:I, s:I, s:f, s:f}",
		"schema", MANIFEST_SCHEMA, "computation", computation.id,
		"name", computation.name, "generation", figures->generation,
		"time", when, "time_seconds", (json_int_t)seconds, "groups",
		groups, "images", images, "files", files, "warnings", warnings,
		"options", options, "processes", (json_int_t)figures->processes,
		"raw", (json_int_t)figures->raw, "stored",
		(json_int_t)figures->stored, "stop_ms", figures->stop_ms,
		"total_ms", figures->total_ms);
}

json_t *manifest_part(const json_t *manifest, const struct group *group,
		      int place)
{
	json_t *part = json_copy((json_t *)manifest), *groups = json_array();
	json_t *written = group->figures[PHASE_WRITE], *entry;
	size_t i;

	json_array_foreach (json_object_get(manifest, "groups"), i, entry)
		if ((int)i == place)
			json_array_append(groups, entry);
		else
			json_array_append_new(
				groups,
				json_pack("{s:O, s:O}", "host",
					  json_object_get(entry, "host"),
					  "group",
					  json_object_get(entry, "group")));
	json_object_set_new(part, "groups", groups);
	json_object_set(part, "images", json_object_get(written, "images"));
	json_object_set(part, "files", json_object_get(written, "files"));
	json_object_set_new(part, "part", json_integer(place));
	return part;
}
