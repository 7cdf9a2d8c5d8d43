/* SPDX-License-Identifier: MIT */
/*
 * What ckpt_restart does to the user's files, which generation it takes and
 * which ids it keeps for itself, without restarting anything.
 */
#define _GNU_SOURCE
#include "restart/files.h"
#include "restart/job.h"
#include "restart/say.h"
#include "restart/tree.h"

#include <check.h> /* behind say.h: it has a macro fail() */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define HOUR_AGO (time(NULL) - 3600)

static char folder[64];
static struct options options;
static struct job job;
static struct job_process process;
static struct image_process process_record;
static struct job_file *files[8];
static struct image_file records[8];

static const char *in_folder(const char *name)
{
	static char paths[8][2 * PATH_MAX];
	static unsigned next;
	char *path = paths[next++ % 8];

	snprintf(path, 2 * PATH_MAX, "%s/%s", folder, name);
	return path;
}

static void write_file(const char *name, const char *text)
{
	FILE *f = fopen(in_folder(name), "we");

	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

static const char *content(const char *path)
{
	static char text[256];
	FILE *f = fopen(path, "re");
	size_t n;

	if (!f)
		return "(none)";
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = 0;
	fclose(f);
	return text;
}

static void setup(void)
{
	strcpy(folder, "/tmp/test-restart-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	ck_assert_int_eq(mkdir(in_folder("store"), 0700), 0);
	memset(&options, 0, sizeof(options));
	memset(&process_record, 0, sizeof(process_record));
	process.process = &process_record;
	process_record.realtime = (uint64_t)time(NULL) * 1000000000u;
	job = (struct job){
		.options = &options,
		.computation_dir = folder,
		.generation = 3,
		.processes = &process,
		.process_count = 1,
		.files = files,
		.manifest = json_pack("{s:[]}", "files"),
	};
	say_quiet();
}

static void teardown(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", folder);
	ck_assert_int_eq(system(command), 0);
	json_decref(job.manifest);
}

/* A file as a checkpoint an hour ago has seen it, with a copy in store/. */
static struct job_file *checkpointed(const char *name, const char *text,
				     uint32_t flags, int stored)
{
	size_t n = job.file_count++;
	struct job_file *file = calloc(1, sizeof(*file));
	XXH128_canonical_t canonical;
	struct timespec times[2] = {{.tv_sec = HOUR_AGO}, {.tv_sec = HOUR_AGO}};
	char hash[40], copy[64];
	struct stat st;
	unsigned i;

	write_file(name, text);
	ck_assert_int_eq(utimensat(AT_FDCWD, in_folder(name), times, 0), 0);
	ck_assert_int_eq(stat(in_folder(name), &st), 0);
	records[n] = (struct image_file){
		.id = (uint32_t)n + 1,
		.flags = flags,
		.dev = st.st_dev,
		.ino = st.st_ino,
		.size = (uint64_t)st.st_size,
		.mtime = st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec,
		.mode = st.st_mode,
		.uid = st.st_uid,
		.gid = st.st_gid,
	};
	files[n] = file;
	file->record = &records[n];
	file->path = strdup(in_folder(name));
	file->fd = -1;
	XXH128_canonicalFromHash(&canonical,
				 XXH3_128bits(text, strlen(text)));
	for (i = 0; i < 16; i++)
		sprintf(hash + 2 * i, "%02x", canonical.digest[i]);
	if (stored) {
		snprintf(copy, sizeof(copy), "store/%s", hash);
		write_file(copy, text);
		json_array_append_new(
			json_object_get(job.manifest, "files"),
			json_pack("{s:I, s:I, s:I, s:I, s:s}", "dev",
				  (json_int_t)st.st_dev, "ino",
				  (json_int_t)st.st_ino, "size",
				  (json_int_t)st.st_size, "mtime",
				  (json_int_t)records[n].mtime, "hash", hash));
	}
	return file;
}

static struct job_file *written(const char *text, uint32_t flags, int stored)
{
	struct job_file *file = checkpointed("data", text,
					     FILE_CONTENT | flags, stored);

	file->is_opened = 1;
	return file;
}

/* The one file that was set aside, or NULL. */
static const char *displaced(void)
{
	static char path[PATH_MAX];
	const char *found = NULL;
	struct dirent *entry;
	DIR *dir = opendir(folder);

	while ((entry = readdir(dir))) {
		if (!strstr(entry->d_name, ".ckpt-"))
			continue;
		ck_assert_ptr_null(found);
		ck_assert_ptr_nonnull(
			strstr(entry->d_name, "data.ckpt-displaced-3-"));
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		found = path;
	}
	closedir(dir);
	return found;
}

START_TEST(a_written_file_is_rolled_back)
{
	struct stat st;

	written("old", 0, 1);
	write_file("data", "newer");
	files_decide(&job);
	ck_assert_str_eq(content(in_folder("data")), "newer");
	files_apply(&job);
	ck_assert_str_eq(content(in_folder("data")), "old");
	ck_assert_ptr_nonnull(displaced());
	ck_assert_str_eq(content(displaced()), "newer");
	ck_assert_int_eq(stat(in_folder("data"), &st), 0);
	ck_assert_int_eq(st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec,
			 records[0].mtime);
}
END_TEST

START_TEST(who_still_writes_does_not_reach_it)
{
	int fd;

	written("old", 0, 1);
	fd = open(in_folder("data"), O_WRONLY | O_APPEND | O_CLOEXEC);
	ck_assert_int_eq(write(fd, "+1", 2), 2);
	files_decide(&job);
	files_apply(&job);
	ck_assert_int_eq(write(fd, "+2", 2), 2);
	close(fd);
	ck_assert_str_eq(content(in_folder("data")), "old");
	ck_assert_str_eq(content(displaced()), "old+1+2");
}
END_TEST

START_TEST(undo_puts_the_newer_one_back)
{
	written("old", 0, 1);
	write_file("data", "newer");
	files_decide(&job);
	files_apply(&job);
	files_undo();
	ck_assert_str_eq(content(in_folder("data")), "newer");
	ck_assert_ptr_null(displaced());
}
END_TEST

START_TEST(undo_removes_what_was_not_there)
{
	written("old", 0, 1);
	unlink(in_folder("data"));
	files_decide(&job);
	files_apply(&job);
	ck_assert_str_eq(content(in_folder("data")), "old");
	files_undo();
	ck_assert_str_eq(content(in_folder("data")), "(none)");
}
END_TEST

START_TEST(an_unchanged_file_is_left_alone)
{
	struct stat before, after;

	written("old", 0, 1);
	ck_assert_int_eq(stat(in_folder("data"), &before), 0);
	files_decide(&job);
	files_apply(&job);
	ck_assert_int_eq(stat(in_folder("data"), &after), 0);
	ck_assert_uint_eq(before.st_ino, after.st_ino);
	ck_assert_ptr_null(displaced());
}
END_TEST

START_TEST(so_is_one_with_the_same_content)
{
	struct stat before, after;

	written("old", 0, 1);
	unlink(in_folder("data"));
	write_file("data", "old");
	ck_assert_int_eq(stat(in_folder("data"), &before), 0);
	files_decide(&job);
	files_apply(&job);
	ck_assert_int_eq(stat(in_folder("data"), &after), 0);
	ck_assert_uint_eq(before.st_ino, after.st_ino);
}
END_TEST

START_TEST(a_change_in_the_same_tick_is_seen)
{
	struct timespec times[2];

	written("old", 0, 1);
	process_record.realtime = (uint64_t)records[0].mtime + 1000;
	write_file("data", "odd");
	times[0] = times[1] = (struct timespec){
		.tv_sec = records[0].mtime / 1000000000,
		.tv_nsec = records[0].mtime % 1000000000};
	ck_assert_int_eq(utimensat(AT_FDCWD, in_folder("data"), times, 0), 0);
	files_decide(&job);
	files_apply(&job);
	ck_assert_str_eq(content(in_folder("data")), "old");
}
END_TEST

START_TEST(a_log_is_cut_without_a_copy)
{
	written("line1\n", FILE_APPEND_ONLY, 0);
	write_file("data", "line1\nline2\n");
	files_decide(&job);
	files_apply(&job);
	ck_assert_str_eq(content(in_folder("data")), "line1\n");
	ck_assert_str_eq(content(displaced()), "line1\nline2\n");
}
END_TEST

START_TEST(without_a_copy_it_is_refused)
{
	written("old", 0, 0);
	write_file("data", "newer");
	files_decide(&job);
}
END_TEST

START_TEST(reopen_leaves_it_as_it_is)
{
	options.reopen = 1;
	written("old", 0, 1);
	write_file("data", "newer");
	files_decide(&job);
	files_apply(&job);
	ck_assert_str_eq(content(in_folder("data")), "newer");
	ck_assert_ptr_null(displaced());
}
END_TEST

START_TEST(reopen_makes_what_is_gone)
{
	options.reopen = 1;
	written("old", 0, 1);
	unlink(in_folder("data"));
	files_decide(&job);
	files_apply(&job);
	ck_assert_str_eq(content(in_folder("data")), "old");
}
END_TEST

START_TEST(a_link_stays_and_its_target_is_rolled_back)
{
	struct job_file *file = written("old", 0, 1);
	struct stat st;

	ck_assert_int_eq(symlink("data", in_folder("link")), 0);
	free(file->path);
	file->path = strdup(in_folder("link"));
	write_file("data", "newer");
	files_decide(&job);
	files_apply(&job);
	ck_assert_int_eq(lstat(in_folder("link"), &st), 0);
	ck_assert(S_ISLNK(st.st_mode));
	ck_assert_str_eq(content(in_folder("data")), "old");
}
END_TEST

START_TEST(a_file_that_is_gone_is_read_from_the_store)
{
	struct job_file *file = checkpointed("input", "words", 0, 1);
	char text[8] = "";
	int fd;

	file->is_opened = 1;
	unlink(in_folder("input"));
	files_decide(&job);
	files_apply(&job);
	ck_assert_str_eq(content(in_folder("input")), "(none)");
	fd = files_open(file, O_RDONLY);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(read(fd, text, sizeof(text)), 5);
	ck_assert_str_eq(text, "words");
	close(fd);
}
END_TEST

START_TEST(a_nameless_file_stays_nameless)
{
	struct job_file *file = written("secret", FILE_DELETED, 1);
	struct stat st;
	int one, two;
	char text[8] = "";

	unlink(in_folder("data"));
	files_decide(&job);
	files_apply(&job);
	ck_assert_int_lt(access(in_folder("data"), F_OK), 0);
	one = files_open(file, O_RDWR);
	two = files_open(file, O_RDONLY);
	ck_assert_int_ge(one, 0);
	ck_assert_int_ge(two, 0);
	ck_assert_int_eq(pwrite(one, "S", 1, 0), 1);
	ck_assert_int_eq(read(two, text, sizeof(text)), 6);
	ck_assert_str_eq(text, "Secret");
	ck_assert_int_eq(fstat(one, &st), 0);
	ck_assert_uint_eq(st.st_nlink, 0);
}
END_TEST

START_TEST(a_mapping_gets_the_content_it_had)
{
	struct job_file *file = checkpointed("library", "version 1", 0, 1);
	char text[16] = "";
	int fd;

	file->is_mapped = 1;
	write_file("library", "version 2");
	files_decide(&job);
	ck_assert_int_eq(file->mapped, FILE_FROM_STORE);
	fd = files_open_mapped(file, 0);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(read(fd, text, sizeof(text)), 9);
	ck_assert_str_eq(text, "version 1");
}
END_TEST

START_TEST(a_changed_mapping_without_copy_is_refused)
{
	struct job_file *file = checkpointed("library", "version 1", 0, 0);

	file->is_mapped = 1;
	write_file("library", "version 2");
	files_decide(&job);
}
END_TEST

/* ---- generations ---- */

static void commit(const char *computation, int generation)
{
	char name[PATH_MAX];

	mkdir(in_folder(computation), 0700);
	snprintf(name, sizeof(name), "%s/gen-%06d", computation, generation);
	ck_assert_int_eq(mkdir(in_folder(name), 0700), 0);
	snprintf(name, sizeof(name), "%s/gen-%06d/manifest.json", computation,
		 generation);
	write_file(name, "{\"computation\":\"00\",\"name\":\"x\"}");
}

START_TEST(the_newest_finished_generation_is_taken)
{
	commit("ckpt-x-00", 7);
	commit("ckpt-x-00", 10);
	ck_assert_int_eq(mkdir(in_folder("ckpt-x-00/gen-000011"), 0700), 0);
	manifest_read(&job, folder);
	ck_assert_uint_eq(job.generation, 10);
	manifest_read(&job, in_folder("ckpt-x-00"));
	ck_assert_uint_eq(job.generation, 10);
	manifest_read(&job, in_folder("ckpt-x-00/gen-000007"));
	ck_assert_uint_eq(job.generation, 7);
	options.generation = 7;
	manifest_read(&job, folder);
	ck_assert_uint_eq(job.generation, 7);
}
END_TEST

START_TEST(an_unfinished_generation_is_refused)
{
	commit("ckpt-x-00", 7);
	ck_assert_int_eq(mkdir(in_folder("ckpt-x-00/gen-000008"), 0700), 0);
	manifest_read(&job, in_folder("ckpt-x-00/gen-000008"));
}
END_TEST

/* ---- ids ---- */

START_TEST(our_ids_meet_none_of_the_programs)
{
	static struct image_thread records[3] = {
		{.tid = 20000}, {.tid = 32000}, {.tid = 32767}};
	static struct job_thread threads[3] = {
		{&records[0]}, {&records[1]}, {&records[2]}};
	int i;

	process.threads = threads;
	process.thread_count = 3;
	process_record.pid = 20000;
	tree_read(&job);
	ids_choose(&job);
	ck_assert_int_ge(job.helper_tid, 300);
	for (i = 0; i < 3; i++) {
		int tid = records[i].tid;

		ck_assert_int_ne(job.agent_tid, tid);
		ck_assert(tid < job.helper_tid ||
			  tid >= job.helper_tid + IDS_HELPERS);
		ck_assert(tid <= job.last_pid || tid > job.last_pid + 500);
	}
}
END_TEST

START_TEST(the_largest_gap_is_ours)
{
	static struct image_thread records[3] = {
		{.tid = 310}, {.tid = 12000}, {.tid = 32700}};
	static struct job_thread threads[3] = {
		{&records[0]}, {&records[1]}, {&records[2]}};
	FILE *f = fopen("/proc/sys/kernel/pid_max", "re");
	int max = 0;

	ck_assert_int_eq(fscanf(f, "%d", &max), 1);
	fclose(f);
	process.threads = threads;
	process.thread_count = 3;
	process_record.pid = 310;
	tree_read(&job);
	ids_choose(&job);
	if (max > 45000)
		ck_assert_int_gt(job.helper_tid, 32700);
	else
		ck_assert_int_eq(job.helper_tid, 12001);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("restart");
	TCase *tcase = tcase_create("files");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, a_written_file_is_rolled_back);
	tcase_add_test(tcase, who_still_writes_does_not_reach_it);
	tcase_add_test(tcase, undo_puts_the_newer_one_back);
	tcase_add_test(tcase, undo_removes_what_was_not_there);
	tcase_add_test(tcase, an_unchanged_file_is_left_alone);
	tcase_add_test(tcase, so_is_one_with_the_same_content);
	tcase_add_test(tcase, a_change_in_the_same_tick_is_seen);
	tcase_add_test(tcase, a_log_is_cut_without_a_copy);
	tcase_add_exit_test(tcase, without_a_copy_it_is_refused, 99);
	tcase_add_test(tcase, reopen_leaves_it_as_it_is);
	tcase_add_test(tcase, reopen_makes_what_is_gone);
	tcase_add_test(tcase, a_link_stays_and_its_target_is_rolled_back);
	tcase_add_test(tcase, a_file_that_is_gone_is_read_from_the_store);
	tcase_add_test(tcase, a_nameless_file_stays_nameless);
	tcase_add_test(tcase, a_mapping_gets_the_content_it_had);
	tcase_add_exit_test(tcase, a_changed_mapping_without_copy_is_refused,
			    99);
	tcase_add_test(tcase, the_newest_finished_generation_is_taken);
	tcase_add_exit_test(tcase, an_unfinished_generation_is_refused, 99);
	tcase_add_test(tcase, our_ids_meet_none_of_the_programs);
	tcase_add_test(tcase, the_largest_gap_is_ours);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
