// SPDX-License-Identifier: MIT
/* ckpt_image: options, and what to do with what was found. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "image-tool/image-tool.h"
#include "util/die.h"

static const char usage[] =
	"Usage: ckpt_image [OPTION...] show|verify|list [FILE-OR-DIR]\n"
	"Look at checkpoints without restarting them.\n"
	"\n"
	"  show    what is in an image, or in a generation and its images\n"
	"  verify  read all of it and check that it is whole\n"
	"  list    the generations that there are\n"
	"\n"
	"FILE is an image; DIR the checkpoint directory, a computation's folder\n"
	"or one generation ($CKPT_DIR, else the current directory). Of several\n"
	"generations the newest that is committed is meant.\n"
	"\n"
	"  -g, --generation N  this one\n"
	"  -j, --json          one JSON object\n"
	"      --help          this text\n"
	"      --version       the version\n"
	"\n"
	"Exit status: 0, 1 when something is damaged or missing, 99 otherwise.\n";

static struct {
	int json;
	uint64_t generation;
} option;

static void print_json(json_t *object)
{
	if (!object || json_dumpf(object, stdout,
				  JSON_INDENT(2) | JSON_PRESERVE_ORDER) < 0)
		die("out of memory");
	putchar('\n');
	json_decref(object);
}

static int is_folder(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static struct generation *choose(struct generations *all, const char *dir)
{
	char line[PATH_MAX + 128];
	struct generation *g;

	if (find_all(dir, all, line, sizeof(line)) < 0)
		die("%s", line);
	g = find_newest(all, option.generation);
	if (!g && option.generation)
		die("%s: no committed generation %" PRIu64
		    ": see `ckpt_image list`", dir, option.generation);
	if (!g)
		die("%s: no committed checkpoint here: name the directory that "
		    "ckpt_command -c told, or a folder in it", dir);
	return g;
}

/* ---- show ---- */

static json_t *described(const char *path)
{
	struct image_reader r;
	json_t *image;

	if (image_reader_open(&r, AT_FDCWD, path) < 0)
		return json_pack("{s:o, s:o}", "file",
				 text_json(path, strlen(path)), "error",
				 text_json(r.error, strlen(r.error)));
	image = describe_image(&r, path);
	image_reader_close(&r);
	return image;
}

static int show_described(json_t *image)
{
	const char *error = json_string_value(json_object_get(image, "error"));

	if (!error)
		show_image(image);
	else
		warn_user("%s", error);
	return error != NULL;
}

static int show_file(const char *path)
{
	json_t *image = described(path);
	int ret;

	if (option.json) {
		ret = json_object_get(image, "error") != NULL;
		print_json(image);
		return ret;
	}
	ret = show_described(image);
	json_decref(image);
	return ret;
}

static int show_folder(const char *dir)
{
	struct generations all;
	struct generation *g = choose(&all, dir);
	json_t *entry, *image, *images = json_array();
	char path[PATH_MAX + 300];
	int ret = 0;
	size_t i;

	if (!g->manifest)
		die("%s", g->error);
	if (!option.json)
		show_generation(g);
	json_array_foreach(json_object_get(g->manifest, "images"), i, entry) {
		const char *file =
			json_string_value(json_object_get(entry, "file"));

		snprintf(path, sizeof(path), "%s/%.255s", g->path,
			 file ? file : "");
		image = described(path);
		ret |= json_object_get(image, "error") != NULL;
		if (!option.json) {
			putchar('\n');
			show_described(image);
		}
		json_array_append_new(images, image);
	}
	if (option.json)
		print_json(json_pack("{s:i, s:o, s:I, s:O, s:O}", "schema", 1,
				     "path",
				     text_json(g->path, strlen(g->path)),
				     "generation", (json_int_t)g->number,
				     "manifest", g->manifest, "images",
				     images));
	json_decref(images);
	find_free(&all);
	return ret;
}

static int show(const char *path)
{
	return is_folder(path) ? show_folder(path) : show_file(path);
}

/* ---- verify ---- */

static int verify(const char *path)
{
	struct generations all = {NULL, 0};
	json_t *result;
	char bytes[32];
	int ok;

	if (is_folder(path))
		result = verify_generation(choose(&all, path), !option.json);
	else
		result = verify_image(path, NULL, !option.json);
	ok = json_is_true(json_object_get(result, "ok"));
	if (option.json) {
		print_json(result);
	} else {
		text_bytes((uint64_t)json_integer_value(
				   json_object_get(result, "bytes")),
			   bytes, sizeof(bytes));
		if (ok)
			printf("good: %" JSON_INTEGER_FORMAT " files, %s\n",
			       json_integer_value(
				       json_object_get(result, "checked")),
			       bytes);
		else
			puts("damaged");
		json_decref(result);
	}
	find_free(&all);
	return !ok;
}

/* ---- list ---- */

static const char *state_of(const struct generation *g)
{
	if (!g->committed)
		return "not committed";
	return g->manifest ? "committed" : "damaged";
}

static json_t *generation_json(const struct generation *g)
{
	const json_t *m = g->manifest;
	char when[32];

	text_time(g->time, when, sizeof(when), 1);
	return json_pack(
		"{s:o, s:I, s:s, s:s, s:b, s:O*, s:O*, s:O*, s:O*, s:O*}",
		"path", text_json(g->path, strlen(g->path)), "generation",
		(json_int_t)g->number, "time", when, "state", state_of(g),
		"committed", g->committed, "name", json_object_get(m, "name"),
		"computation", json_object_get(m, "computation"), "processes",
		json_object_get(m, "processes"), "raw",
		json_object_get(m, "raw"), "stored",
		json_object_get(m, "stored"));
}

/* The folder above, as a headline when it changes. */
static void list_computation(const struct generation *g, char *last,
			     size_t size)
{
	char path[PATH_MAX], *slash;

	snprintf(path, sizeof(path), "%s", g->path);
	slash = strrchr(path, '/');
	if (slash)
		*slash = 0;
	if (strcmp(path, last) == 0)
		return;
	snprintf(last, size, "%s", path);
	printf("%s\n", path);
}

static void list_line(const struct generation *g)
{
	char when[32], raw[32] = "-", stored[32] = "-", processes[24] = "-";

	text_time(g->time, when, sizeof(when), 0);
	if (g->manifest) {
		text_bytes((uint64_t)json_integer_value(
				   json_object_get(g->manifest, "raw")),
			   raw, sizeof(raw));
		text_bytes((uint64_t)json_integer_value(
				   json_object_get(g->manifest, "stored")),
			   stored, sizeof(stored));
		snprintf(processes, sizeof(processes), "%" JSON_INTEGER_FORMAT,
			 json_integer_value(json_object_get(g->manifest,
							    "processes")));
	}
	printf("  %10" PRIu64 "  %-19s  %9s  %9s  %9s  %s\n", g->number, when,
	       processes, raw, stored, state_of(g));
}

static int list(const char *dir)
{
	char line[PATH_MAX + 128], last[PATH_MAX] = "";
	json_t *generations = json_array();
	struct generations all;
	size_t i;

	if (find_all(dir, &all, line, sizeof(line)) < 0)
		die("%s", line);
	if (!option.json && all.count)
		printf("  %10s  %-19s  %9s  %9s  %9s  %s\n", "generation",
		       "date", "processes", "memory", "stored", "state");
	for (i = 0; i < all.count; i++) {
		struct generation *g = &all.list[i];

		if (option.generation && g->number != option.generation)
			continue;
		json_array_append_new(generations, generation_json(g));
		if (option.json)
			continue;
		list_computation(g, last, sizeof(last));
		list_line(g);
	}
	if (option.json)
		print_json(json_pack("{s:i, s:O}", "schema", 1, "generations",
				     generations));
	else if (all.count == 0)
		printf("%s: no checkpoints here\n", dir);
	json_decref(generations);
	find_free(&all);
	return 0;
}

/* ---- options ---- */

static uint64_t number(const char *text)
{
	char *end;
	unsigned long long n = strtoull(text, &end, 10);

	if (*end || *text < '0' || *text > '9' || n == 0)
		die("generation \"%s\": give its number, from 1", text);
	return n;
}

int main(int argc, char *argv[])
{
	static const struct option options[] = {
		{"generation", required_argument, NULL, 'g'},
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'H'},
		{"version", no_argument, NULL, 'V'},
		{NULL, 0, NULL, 0},
	};
	static const struct {
		const char *name;
		int (*run)(const char *path);
	} commands[] = {{"show", show}, {"verify", verify}, {"list", list}};
	const char *path = getenv("CKPT_DIR");
	size_t i;
	int c;

	while ((c = getopt_long(argc, argv, "g:j", options, NULL)) != -1) {
		switch (c) {
		case 'g':
			option.generation = number(optarg);
			break;
		case 'j':
			option.json = 1;
			break;
		case 'H':
			fputs(usage, stdout);
			return 0;
		case 'V':
			puts("ckpt_image " PACKAGE_VERSION);
			return 0;
		default:
			fputs(usage, stderr);
			return EXIT_OUR_FAILURE;
		}
	}
	if (optind == argc || argc - optind > 2) {
		fputs(usage, stderr);
		return EXIT_OUR_FAILURE;
	}
	if (optind + 1 < argc)
		path = argv[optind + 1];
	if (!path || !*path)
		path = ".";
	for (i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		if (strcmp(argv[optind], commands[i].name) == 0)
			return commands[i].run(path);
	die("%s: not one of show, verify, list", argv[optind]);
}
