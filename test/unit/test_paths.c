/* SPDX-License-Identifier: MIT */
/*
 * Our files are found wherever the installation has been moved to. The test
 * copies itself into a prefix and runs there: `test_paths find` prints what
 * it finds.
 */
#include "util/paths.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATHS_ROOM 4096

static char prefix[] = "/tmp/ckpt paths:XXXXXX";

static void make_file(const char *folder, const char *name, const char *from)
{
	char path[PATHS_ROOM], *slash;
	struct stat st;
	int in, out;

	snprintf(path, sizeof(path), "%s%s/%s", prefix, folder, name);
	for (slash = path + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = 0;
		mkdir(path, 0755);
		*slash = '/';
	}
	out = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0755);
	ck_assert_int_ge(out, 0);
	if (from) {
		in = open(from, O_RDONLY);
		ck_assert_int_ge(in, 0);
		ck_assert_int_eq(fstat(in, &st), 0);
		ck_assert(sendfile(out, in, NULL, (size_t)st.st_size) ==
			  st.st_size);
		close(in);
	}
	close(out);
}

/* Runs the copy at this path; both lines must be these, below the prefix. */
static void expect(const char *copy, const char *library, const char *agent)
{
	char command[PATHS_ROOM], line[PATHS_ROOM], wanted[PATHS_ROOM];
	const char *want[2] = {library, agent};
	FILE *output;
	int i;

	snprintf(command, sizeof(command), "'%s%s' find", prefix, copy);
	output = popen(command, "r");
	ck_assert_ptr_nonnull(output);
	for (i = 0; i < 2; i++) {
		ck_assert_ptr_nonnull(fgets(line, sizeof(line), output));
		snprintf(wanted, sizeof(wanted), "0 %s%s\n", prefix, want[i]);
		ck_assert_str_eq(line, wanted);
	}
	ck_assert_int_eq(pclose(output), 0);
}

START_TEST(installed_and_moved)
{
	make_file(CKPT_BINDIR, "ckpt_launch", "/proc/self/exe");
	make_file(CKPT_LIBEXECDIR, "ckpt_agent", "/proc/self/exe");
	make_file(CKPT_LIBDIR, "libckpt.so", NULL);
	expect(CKPT_BINDIR "/ckpt_launch", CKPT_LIBDIR "/libckpt.so",
	       CKPT_LIBEXECDIR "/ckpt_agent");
	expect(CKPT_LIBEXECDIR "/ckpt_agent", CKPT_LIBDIR "/libckpt.so",
	       CKPT_LIBEXECDIR "/ckpt_agent");
}
END_TEST

START_TEST(build_tree)
{
	make_file("/tree", "ckpt_launch", "/proc/self/exe");
	make_file("/tree", "ckpt_agent", NULL);
	make_file("/tree", "libckpt.so", NULL);
	expect("/tree/ckpt_launch", "/tree/libckpt.so", "/tree/ckpt_agent");
}
END_TEST

START_TEST(symlinked_prefix)
{
	char link[PATHS_ROOM];

	snprintf(link, sizeof(link), "%s/elsewhere", prefix);
	ck_assert_int_eq(symlink("tree", link), 0);
	expect("/elsewhere/ckpt_launch", "/tree/libckpt.so",
	       "/tree/ckpt_agent");
}
END_TEST

static int find(void)
{
	char path[PATHS_ROOM];
	int ret = util_find_library(path, sizeof(path));

	ret ? printf("%d\n", ret) : printf("0 %s\n", path);
	ret = util_find_program("ckpt_agent", path, sizeof(path));
	ret ? printf("%d\n", ret) : printf("0 %s\n", path);
	return 0;
}

int main(int argc, char **argv)
{
	Suite *suite = suite_create("paths");
	TCase *tests = tcase_create("paths");
	SRunner *runner = srunner_create(suite);
	char command[64];
	int failed;

	if (argc > 1 && !strcmp(argv[1], "find"))
		return find();
	if (!mkdtemp(prefix))
		return 99;
	tcase_add_test(tests, installed_and_moved);
	tcase_add_test(tests, build_tree);
	tcase_add_test(tests, symlinked_prefix);
	suite_add_tcase(suite, tests);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	snprintf(command, sizeof(command), "rm -r '%s'", prefix);
	if (system(command))
		failed++;
	return failed != 0;
}
