// SPDX-License-Identifier: MIT
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "image-tool/image-tool.h"

static const char *text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static int64_t value(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

static const char *bytes(const json_t *o, const char *key, char out[32])
{
	text_bytes((uint64_t)value(o, key), out, 32);
	return out;
}

static void show_words(const json_t *list)
{
	const json_t *word;
	size_t i;

	json_array_foreach(list, i, word)
		printf(" %s", json_string_value(word));
}

static const json_t *by_id(const json_t *list, int64_t id)
{
	const json_t *entry;
	size_t i;

	json_array_foreach(list, i, entry)
		if (value(entry, "id") == id)
			return entry;
	return NULL;
}

static void show_process(const json_t *image)
{
	const json_t *p = json_object_get(image, "process");
	const json_t *cpu = json_object_get(image, "cpu");

	printf("process    %" PRId64 " (%s), parent %" PRId64 ", group %" PRId64
	       ", session %" PRId64 ", uid %" PRId64 "\n",
	       value(p, "pid"), text(p, "comm"), value(p, "ppid"),
	       value(p, "pgid"), value(p, "sid"), value(p, "uid"));
	if (json_array_size(json_object_get(p, "flags"))) {
		printf("          ");
		show_words(json_object_get(p, "flags"));
		printf("\n");
	}
	printf("program    %s\n",
	       text(by_id(json_object_get(image, "files"), value(p, "exe_file")),
		    "path"));
	printf("directory  %s\n", text(image, "cwd"));
	printf("break      %s-%s\n", text(p, "brk_start"), text(p, "brk"));
	if (cpu)
		printf("cpu        %s family %" PRId64 " model %" PRId64
		       ", xcr0 %s, xsave %" PRId64 " bytes\n",
		       text(cpu, "vendor"), value(cpu, "family"),
		       value(cpu, "model"), text(cpu, "xcr0"),
		       value(cpu, "xsave_size"));
}

static void show_threads(const json_t *image)
{
	const json_t *t;
	size_t i;

	printf("\nthreads\n");
	json_array_foreach(json_object_get(image, "threads"), i, t)
		printf("  %7" PRId64 "  %-16s ip %s sp %s\n", value(t, "tid"),
		       text(t, "comm"), text(t, "ip"), text(t, "sp"));
}

static void show_fds(const json_t *image)
{
	const json_t *f, *o;
	size_t i;

	printf("\ndescriptors\n");
	json_array_foreach(json_object_get(image, "fds"), i, f) {
		o = by_id(json_object_get(image, "objects"),
			  value(f, "object"));
		printf("  %5" PRId64 "  #%-4" PRId64 " %-8s %s%s\n",
		       value(f, "fd"), value(f, "object"), text(o, "kind"),
		       text(o, "text"),
		       json_is_true(json_object_get(f, "cloexec"))
			       ? " (close-on-exec)"
			       : "");
	}
}

static void show_state(const json_t *image)
{
	const json_t *s;
	size_t i;

	printf("\nstate\n");
	json_array_foreach(json_object_get(image, "state"), i, s)
		printf("  %-8s %s\n", text(s, "kind"), text(s, "text"));
}

static void show_areas(const json_t *image)
{
	const json_t *a, *file;
	size_t i;

	printf("\nmemory\n");
	json_array_foreach(json_object_get(image, "areas"), i, a) {
		file = by_id(json_object_get(image, "files"),
			     value(a, "file"));
		printf("  %12s-%-12s %s %-12s", text(a, "start"),
		       text(a, "end"), text(a, "prot"), text(a, "type"));
		if (file)
			printf(" %s+%s", text(file, "path"), text(a, "offset"));
		if (*text(a, "name"))
			printf(" [%s]", text(a, "name"));
		if (value(a, "guards"))
			printf(" %" PRId64 " guards", value(a, "guards"));
		show_words(json_object_get(a, "flags"));
		printf("\n");
	}
}

static void show_files(const json_t *image)
{
	const json_t *f;
	char size[32];
	size_t i;

	printf("\nfiles\n");
	json_array_foreach(json_object_get(image, "files"), i, f) {
		printf("  #%-4" PRId64 " %9s  %s", value(f, "id"),
		       bytes(f, "size", size), text(f, "path"));
		show_words(json_object_get(f, "flags"));
		printf("\n");
	}
}

void show_image(const json_t *image)
{
	char raw[32], stored[32], size[32];

	printf("image      %s\n", text(image, "file"));
	printf("checkpoint %s, generation %" PRId64 ", %s\n",
	       text(image, "computation"), value(image, "generation"),
	       text(image, "created"));
	printf("size       %s: %s of memory in %s, %" PRId64 " blocks\n",
	       bytes(image, "size", size), bytes(image, "raw", raw),
	       bytes(image, "stored", stored), value(image, "blocks"));
	show_process(image);
	show_threads(image);
	show_fds(image);
	show_state(image);
	show_areas(image);
	show_files(image);
}

void show_generation(const struct generation *g)
{
	const json_t *m = g->manifest, *entry;
	char when[32], raw[32], stored[32];
	size_t i;

	text_time(g->time, when, sizeof(when), 0);
	printf("generation %" PRIu64 "  %s\n", g->number, g->path);
	printf("program    %s (%s)\n", text(m, "name"), text(m, "computation"));
	printf("time       %s\n", when);
	printf("processes  %" PRId64 ", %s of memory in %s\n",
	       value(m, "processes"), bytes(m, "raw", raw),
	       bytes(m, "stored", stored));
	printf("store      %zu files\n",
	       json_array_size(json_object_get(m, "files")));
	json_array_foreach(json_object_get(m, "warnings"), i, entry)
		printf("warning    %s\n", json_is_string(entry)
						  ? json_string_value(entry)
						  : text(entry, "text"));
	json_array_foreach(json_object_get(m, "images"), i, entry)
		printf("image      %s  pid %" PRId64 "  %s  %" PRId64
		       " threads  %s\n",
		       text(entry, "file"), value(entry, "pid"),
		       text(entry, "program"), value(entry, "threads"),
		       bytes(entry, "bytes", raw));
}
