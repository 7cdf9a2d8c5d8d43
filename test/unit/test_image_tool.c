// SPDX-License-Identifier: MIT
/* ckpt_image over a made-up checkpoint directory: what it lists, what it
 * shows, and that it finds whatever is missing or damaged. */
#define _GNU_SOURCE
#include <check.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "image/reader.h"
#include "image/writer.h"

/* XXH3-128 of "content\n" */
#define STORED "ccfcb2ed4d570d4c765817e364543305"

static char dir[64];
static char output[1 << 16];
static int status;

/* What the command says, in `output`. */
static void run(const char *format, ...)
{
	char command[1024], line[900];
	va_list list;
	size_t n;
	FILE *f;

	va_start(list, format);
	vsnprintf(line, sizeof(line), format, list);
	va_end(list);
	snprintf(command, sizeof(command), "%s 2>&1", line);
	f = popen(command, "r");
	ck_assert_ptr_nonnull(f);
	n = fread(output, 1, sizeof(output) - 1, f);
	output[n] = 0;
	status = WEXITSTATUS(pclose(f));
}

static void says(const char *what)
{
	ck_assert_msg(strstr(output, what) != NULL, "not \"%s\" but: %s", what,
		      output);
}

static void put_file(const char *name, const char *text)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

/* Its header's hash in `hash`. */
static void put_image(const char *name, char hash[20])
{
	char path[256], *page;
	struct image_writer_options o = {.threads = 1, .records_max = 65536,
					 .runs_max = 4};
	struct image_header h = {.pid = 77, .uid = 5, .generation = 2,
				 .created = 1700000000000000000,
				 .computation = "c0ffee"};
	struct image_process p = {.pid = 77, .threads = 1, .comm = "tiny",
				  .exe_file = 1};
	struct image_thread t = {.tid = 77, .comm = "tiny"};
	struct image_area a = {.start = 0x1000, .end = 0x3000, .prot = 5,
			       .flags = AREA_DONTFORK | AREA_HEAP,
			       .name_length = 4};
	struct image_file f = {.id = 1, .path_length = 9};
	uint64_t base, length;
	struct image_writer *w;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	o.fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	ck_assert_int_ge(o.fd, 0);
	w = image_writer_open(&o, &base, &length);
	image_record_begin(w, IMAGE_PROCESS, 1);
	image_record_put(w, &p, sizeof(p));
	image_record_end(w);
	image_record_begin(w, IMAGE_THREAD, 1);
	image_record_put(w, &t, sizeof(t));
	image_record_end(w);
	image_record_begin(w, IMAGE_AREA, 1);
	image_record_put(w, &a, sizeof(a));
	image_record_put(w, "name", 4);
	image_record_end(w);
	image_record_begin(w, IMAGE_FILE, 1);
	image_record_put(w, &f, sizeof(f));
	image_record_put(w, "/bin/t\xff\n!", 9);
	image_record_end(w);
	/* Cut short, and of a kind from the future. */
	image_record_begin(w, IMAGE_FD, 1);
	image_record_put(w, &t.tid, 4);
	image_record_end(w);
	image_record_begin(w, 5000, 1);
	image_record_end(w);
	image_record_begin(w, 90, 1);
	image_record_put(w, &t.tid, 4);
	image_record_end(w);
	page = mmap(NULL, 8192, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(page, 'x', 8192);
	image_pages_add(w, (uintptr_t)page, 8192, 0);
	image_pages_write(w, NULL);
	ck_assert_int_eq(image_writer_finish(w, &h), 0);
	image_writer_close(w);
	munmap(page, 8192);
	close(o.fd);
	snprintf(hash, 20, "%016llx", (unsigned long long)h.header_hash);
}

static void put_manifest(const char *generation, const char *hash)
{
	char name[128], text[1024];

	snprintf(text, sizeof(text),
		 "{\"schema\": 1, \"computation\": \"c0ffee\", \"name\": "
		 "\"tiny\", \"processes\": 1, \"raw\": 8192, \"stored\": 99, "
		 "\"images\": [{\"file\": \"proc-77.img\", \"header_hash\": "
		 "\"%s\", \"pid\": 77}], \"files\": [{\"hash\": \"%s\", "
		 "\"path\": \"/a/b\"}]}",
		 hash, STORED);
	snprintf(name, sizeof(name), "ckpt-tiny-c0ffee/%s/manifest.json",
		 generation);
	put_file(name, text);
}

/* Two generations and one that was never finished. */
static void setup(void)
{
	char hash[20];

	strcpy(dir, "/tmp/test_image_tool-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	run("cd %s && mkdir -p ckpt-tiny-c0ffee/gen-000001 "
	    "ckpt-tiny-c0ffee/gen-000002 ckpt-tiny-c0ffee/gen-000003 "
	    "ckpt-tiny-c0ffee/store", dir);
	put_file("ckpt-tiny-c0ffee/store/" STORED, "content\n");
	put_image("ckpt-tiny-c0ffee/gen-000001/proc-77.img", hash);
	put_manifest("gen-000001", hash);
	put_image("ckpt-tiny-c0ffee/gen-000002/proc-77.img", hash);
	put_manifest("gen-000002", hash);
}

static void teardown(void)
{
	run("rm -rf %s", dir);
}

START_TEST(lists)
{
	json_t *o, *list;

	run("./ckpt_image list %s", dir);
	ck_assert_int_eq(status, 0);
	says("ckpt-tiny-c0ffee\n");
	says("not committed");
	run("./ckpt_image --json list %s/ckpt-tiny-c0ffee", dir);
	o = json_loads(output, 0, NULL);
	list = json_object_get(o, "generations");
	ck_assert_uint_eq(json_array_size(list), 3);
	ck_assert(json_is_true(json_object_get(json_array_get(list, 1),
					       "committed")));
	ck_assert(json_is_false(json_object_get(json_array_get(list, 2),
						"committed")));
	json_decref(o);
	run("CKPT_DIR=%s ./ckpt_image list -g 2", dir);
	says("committed");
	run("./ckpt_image list %s/ckpt-tiny-c0ffee/store", dir);
	says("no checkpoints here");
}
END_TEST

START_TEST(shows)
{
	json_t *o, *image;

	run("./ckpt_image show %s", dir);
	ck_assert_int_eq(status, 0);
	says("generation 2 ");
	says("77 (tiny)");
	says("r-x anonymous    [name] dontfork heap");
	says("/bin/t\\xff");
	run("./ckpt_image --json show %s -g 1", dir);
	ck_assert_int_eq(status, 0);
	o = json_loads(output, 0, NULL);
	image = json_array_get(json_object_get(o, "images"), 0);
	ck_assert_str_eq(json_string_value(json_object_get(
				 json_object_get(image, "process"), "comm")),
			 "tiny");
	json_decref(o);
	run("./ckpt_image show %s/ckpt-tiny-c0ffee/gen-000001/proc-77.img",
	    dir);
	ck_assert_int_eq(status, 0);
	says("generation 2");
}
END_TEST

START_TEST(finds_all_good)
{
	run("./ckpt_image verify %s", dir);
	ck_assert_msg(status == 0, "%s", output);
	says("good: 2 files");
	run("./ckpt_image verify %s/ckpt-tiny-c0ffee/gen-000001/proc-77.img",
	    dir);
	ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(finds_what_is_wrong)
{
	static const struct {
		const char *command, *says;
	} wrongs[] = {
		{"truncate -s 4500 gen-000002/proc-77.img", "truncated"},
		{"rm gen-000002/proc-77.img", "No such file"},
		{"cp /bin/sh gen-000002/proc-77.img", "no ckpt image"},
		{"rm store/*", "No such file"},
		{"for f in store/*; do echo >>$f; done", "damaged"},
		{"echo '{' >gen-000002/manifest.json", "damaged"},
		{"echo '[]' >gen-000002/manifest.json", "damaged"},
		{"echo '{}' >gen-000002/manifest.json", "names no image"},
		{"sed -i s/proc-77/..\\\\/..\\\\/x/ gen-000002/manifest.json",
		 "makes no sense"},
		{"sed -i 's/header_hash\": \"/&1/' gen-000002/manifest.json",
		 "not the image that the manifest names"},
	};

	run("cd %s/ckpt-tiny-c0ffee && %s", dir, wrongs[_i].command);
	ck_assert_msg(status == 0, "%s", output);
	run("./ckpt_image verify %s", dir);
	ck_assert_msg(status == 1, "status %d: %s", status, output);
	says(wrongs[_i].says);
	run("./ckpt_image --json verify %s", dir);
	ck_assert_int_eq(status, 1);
	says("\"ok\": false");
	/* The one before is as good as ever, but for the store. */
	run("./ckpt_image verify -g 1 %s", dir);
	ck_assert_int_eq(status, _i == 3 || _i == 4);
}
END_TEST

START_TEST(says_how_it_is_used)
{
	run("./ckpt_image");
	ck_assert_int_eq(status, 99);
	says("Usage");
	run("./ckpt_image frobnicate");
	ck_assert_int_eq(status, 99);
	run("./ckpt_image show /nowhere");
	ck_assert_int_eq(status, 1);
	says("/nowhere: No such file or directory");
	run("./ckpt_image show -g 7 %s", dir);
	ck_assert_int_eq(status, 99);
	says("no committed generation 7");
	run("./ckpt_image show -g 0 %s", dir);
	ck_assert_int_eq(status, 99);
	run("./ckpt_image verify %s/ckpt-tiny-c0ffee/gen-000003", dir);
	ck_assert_int_ne(status, 0);
	run("./ckpt_image --help");
	ck_assert_int_eq(status, 0);
	says("show|verify|list");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("image-tool");
	TCase *test = tcase_create("image-tool");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(test, setup, teardown);
	tcase_set_timeout(test, 60);
	tcase_add_test(test, lists);
	tcase_add_test(test, shows);
	tcase_add_test(test, finds_all_good);
	tcase_add_loop_test(test, finds_what_is_wrong, 0, 10);
	tcase_add_test(test, says_how_it_is_used);
	suite_add_tcase(suite, test);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
