/* SPDX-License-Identifier: MIT */
/* What ckpt_launch makes of a program before it starts, and of LD_PRELOAD. */
#define _GNU_SOURCE
#include <check.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "launch/preload.h"
#include "launch/program.h"
#include "util/cookie.h"
#include "util/runtime.h"

static char folder[64];
static char err[2048];

static void setup(void)
{
	strcpy(folder, "/tmp/ckpt-unit.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	ck_assert_int_eq(chdir(folder), 0);
	err[0] = '\0';
}

static void teardown(void)
{
	char command[100];

	snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	if (chdir("/") || system(command))
		fprintf(stderr, "cannot remove %s\n", folder);
}

static void put(const char *path, const void *bytes, size_t length, mode_t mode)
{
	int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, bytes, length), length);
	close(fd);
	ck_assert_int_eq(chmod(path, mode), 0);
}

static void put_text(const char *path, const char *text)
{
	put(path, text, strlen(text), 0755);
}

static int check(const char *path)
{
	err[0] = '\0';
	return program_check(path, err, sizeof(err));
}

#define refused(path, why)                                                     \
	do {                                                                   \
		ck_assert_int_lt(check(path), 0);                              \
		ck_assert_msg(strstr(err, why), "\"%s\" does not say \"%s\"",  \
			      err, why);                                       \
		ck_assert_msg(strstr(err, path), "\"%s\" does not name %s",    \
			      err, path);                                      \
		ck_assert_ptr_null(strchr(err, '\n'));                         \
	} while (0)

#define accepted(path) ck_assert_msg(check(path) == 0, "%s", err)

static Elf64_Ehdr elf(void)
{
	Elf64_Ehdr header = {.e_type = ET_DYN,
			     .e_version = 1,
			     .e_ehsize = sizeof(header),
			     .e_phentsize = sizeof(Elf64_Phdr)};

	memcpy(header.e_ident, ELFMAG, SELFMAG);
	header.e_ident[EI_CLASS] = ELFCLASS64;
	header.e_ident[EI_DATA] = ELFDATA2LSB;
#if defined(__x86_64__)
	header.e_machine = EM_X86_64;
#else
	header.e_machine = EM_AARCH64;
#endif
	return header;
}

static void put_dynamic(const char *path, const char *linker)
{
	struct {
		Elf64_Ehdr header;
		Elf64_Phdr part;
		char linker[64];
	} file = {.header = elf()};

	file.header.e_phoff = sizeof(file.header);
	file.header.e_phnum = 1;
	file.part.p_type = PT_INTERP;
	file.part.p_offset = sizeof(file.header) + sizeof(file.part);
	file.part.p_filesz = strlen(linker) + 1;
	strcpy(file.linker, linker);
	put(path, &file, sizeof(file), 0755);
}

START_TEST(ordinary_programs)
{
	accepted("/bin/sh");
	accepted("/proc/self/exe");
	put_dynamic("./program", "/lib64/ld-linux-x86-64.so.2");
	accepted("./program");
}
END_TEST

START_TEST(not_there_or_not_executable)
{
	refused("/nonexistent/x", "No such file");
	refused("/", "directory");
	put("./plain", "x", 1, 0644);
	refused("./plain", "not executable");
	refused("./plain", "chmod +x");
	ck_assert_int_eq(mkfifo("./fifo", 0755), 0);
	refused("./fifo", "not a regular file");
}
END_TEST

START_TEST(programs_of_other_kinds)
{
	Elf64_Ehdr header = elf();
	unsigned char old = header.e_ident[EI_CLASS];

	put("./static", &header, sizeof(header), 0755);
	refused("./static", "statically linked");
	header.e_ident[EI_CLASS] = ELFCLASS32;
	put("./narrow", &header, sizeof(header), 0755);
	refused("./narrow", "32-bit");
	header.e_ident[EI_CLASS] = old;
	header.e_machine = EM_RISCV;
	put("./riscv", &header, sizeof(header), 0755);
	refused("./riscv", "riscv");
	header = elf();
	header.e_type = ET_CORE;
	put("./core", &header, sizeof(header), 0755);
	refused("./core", "no program");
	header = elf();
	header.e_phnum = 3; /* that are not there */
	header.e_phoff = 4000;
	put("./cut", &header, sizeof(header), 0755);
	refused("./cut", "damaged");
	put_dynamic("./musl", "/lib/ld-musl-x86_64.so.1");
	refused("./musl", "another C library");
	put("./zeros", "\0\0\0\0", 4, 0755);
	refused("./zeros", "neither a program nor a script");
}
END_TEST

START_TEST(scripts)
{
	Elf64_Ehdr header = elf();

	put_text("./good", "#!/bin/sh\n");
	accepted("./good");
	put_text("./spaces", "#!  /usr/bin/env   python3 -u\nprint()\n");
	accepted("./spaces");
	put_text("./unended", "#!/bin/sh");
	accepted("./unended");
	put_text("./without", "echo no first line\n");
	accepted("./without");
	put_text("./empty", "");
	accepted("./empty");
	put_text("./nobody", "#!/nonexistent/shell -e\n");
	refused("./nobody", "/nonexistent/shell: No such file");
	put_text("./blank", "#!  \n");
	refused("./blank", "no interpreter");
	put("./static", &header, sizeof(header), 0755);
	put_text("./ofstatic", "#!./static\n");
	refused("./ofstatic", "statically linked");
	put_text("./chain", "#!./good\n");
	accepted("./chain");
	put_text("./loop", "#!./loop\n");
	refused("./loop", "too many");
}
END_TEST

START_TEST(programs_that_gain_rights)
{
	if (getuid() == 0) {
		put_dynamic("./setuid", "/lib64/ld-linux-x86-64.so.2");
		ck_assert_int_eq(chown("./setuid", 1, 1), 0);
		ck_assert_int_eq(chmod("./setuid", 04755), 0);
		refused("./setuid", "setuid");
		ck_assert_int_eq(chmod("./setuid", 02755), 0);
		refused("./setuid", "setgid");
		/* mandatory locking, long gone: no rights */
		ck_assert_int_eq(chmod("./setuid", 02745), 0);
		accepted("./setuid");
	} else {
		struct stat st;

		if (stat("/usr/bin/passwd", &st) == 0 && (st.st_mode & S_ISUID))
			refused("/usr/bin/passwd", "setuid");
	}
}
END_TEST

START_TEST(path_search)
{
	char path[PATH_MAX];

	put_text("./tool", "#!/bin/sh\n");
	put("./plain", "x", 1, 0644);
	mkdir("./sub", 0755);
	mkdir("./sub/tool", 0755); /* a directory is passed over */
	setenv("PATH", "/nonexistent:sub::/bin", 1);
	ck_assert_int_eq(
		program_find("tool", path, sizeof(path), err, sizeof(err)), 0);
	ck_assert_str_eq(path, "tool");
	ck_assert_int_eq(
		program_find("sh", path, sizeof(path), err, sizeof(err)), 0);
	ck_assert_str_eq(path, "/bin/sh");
	ck_assert_int_eq(
		program_find("plain", path, sizeof(path), err, sizeof(err)),
		-EACCES);
	ck_assert_ptr_nonnull(strstr(err, "not executable"));
	ck_assert_int_eq(
		program_find("nosuch", path, sizeof(path), err, sizeof(err)),
		-ENOENT);
	ck_assert_ptr_nonnull(strstr(err, "not found in PATH"));
	ck_assert_int_eq(program_find("", path, sizeof(path), err, sizeof(err)),
			 -ENOENT);
	ck_assert_int_eq(
		program_find("./plain", path, sizeof(path), err, sizeof(err)),
		0); /* a path is a path */
	unsetenv("PATH");
	ck_assert_int_eq(
		program_find("sh", path, sizeof(path), err, sizeof(err)), 0);
	ck_assert_str_eq(path, "/bin/sh");
}
END_TEST

static void preload(const char *plugins, const char *old, const char *wanted)
{
	char *value = preload_value("/l/libckpt.so", plugins, old);

	ck_assert_str_eq(value, wanted);
	free(value);
}

START_TEST(preload_values)
{
	preload(NULL, NULL, "/l/libckpt.so");
	preload(NULL, "", "/l/libckpt.so");
	preload(NULL, "/a.so", "/l/libckpt.so:/a.so");
	preload(NULL, " /a.so  /b.so:", "/l/libckpt.so:/a.so:/b.so");
	preload("/p.so", "/a.so", "/l/libckpt.so:/p.so:/a.so");
	/* launched within a launched program */
	preload(NULL, "/l/libckpt.so:/a.so", "/l/libckpt.so:/a.so");
	preload(NULL, "/elsewhere/libckpt.so", "/l/libckpt.so");
}
END_TEST

START_TEST(preload_paths)
{
	char path[PATH_MAX], again[PATH_MAX], target[PATH_MAX];
	ssize_t n;

	setenv("XDG_RUNTIME_DIR", folder, 1);
	ck_assert_int_eq(preload_path("/usr/lib/x.so", path, sizeof(path), err,
				      sizeof(err)),
			 0);
	ck_assert_str_eq(path, "/usr/lib/x.so");
	/* separators of LD_PRELOAD */
	ck_assert_int_eq(preload_path("/my lib/a:b/libckpt.so", path,
				      sizeof(path), err, sizeof(err)),
			 0);
	ck_assert_ptr_null(strpbrk(path, " :$"));
	n = readlink(path, target, sizeof(target) - 1);
	ck_assert_int_gt(n, 0);
	target[n] = '\0';
	ck_assert_str_eq(target, "/my lib/a:b/libckpt.so");
	ck_assert_int_eq(preload_path("/my lib/a:b/libckpt.so", again,
				      sizeof(again), err, sizeof(err)),
			 0);
	ck_assert_str_eq(path, again);
	ck_assert_int_eq(preload_path("/my lib/$ORIGIN/libckpt.so", again,
				      sizeof(again), err, sizeof(err)),
			 0);
	ck_assert_str_ne(path, again);
	ck_assert_int_eq(unlink(path) | unlink(again), 0);
}
END_TEST

/* ---- the runtime directory ---- */

static int runtime(char *path)
{
	err[0] = '\0';
	return util_runtime(path, PATH_MAX, err, sizeof(err));
}

START_TEST(runtime_directory)
{
	char path[PATH_MAX], expected[100], other[100];
	struct stat st;

	setenv("XDG_RUNTIME_DIR", folder, 1);
	snprintf(expected, sizeof(expected), "%s/ckpt", folder);
	ck_assert_msg(runtime(path) == 0, "%s", err);
	ck_assert_str_eq(path, expected);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_mode & 07777, 0700);

	ck_assert_int_eq(chmod(path, 0755), 0);
	ck_assert_int_eq(runtime(path), -EPERM);
	ck_assert_ptr_nonnull(strstr(err, "open to others"));
	ck_assert_int_eq(rmdir(expected), 0);

	snprintf(other, sizeof(other), "%s/other", folder);
	ck_assert_int_eq(mkdir(other, 0700), 0);
	ck_assert_int_eq(symlink(other, expected), 0);
	ck_assert_int_eq(runtime(path), -ELOOP);
	ck_assert_ptr_nonnull(strstr(err, "symlink"));
	ck_assert_int_eq(unlink(expected), 0);

	put(expected, "", 0, 0600);
	ck_assert_int_eq(runtime(path), -ENOTDIR);
	ck_assert_int_eq(unlink(expected), 0);

	if (getuid() == 0) {
		ck_assert_int_eq(mkdir(expected, 0700), 0);
		ck_assert_int_eq(chown(expected, 1, 1), 0);
		ck_assert_int_eq(runtime(path), -EPERM);
		ck_assert_ptr_nonnull(strstr(err, "belongs to uid 1"));
	}

	/* one that is not there or not ours does not count */
	setenv("XDG_RUNTIME_DIR", "/nonexistent", 1);
	snprintf(expected, sizeof(expected), "/tmp/ckpt-%u", getuid());
	if (runtime(path) == 0)
		ck_assert_str_eq(path, expected);
}
END_TEST

START_TEST(runtime_directory_too_long)
{
	char path[PATH_MAX], deep[200];

	snprintf(deep, sizeof(deep), "%s/%0100d", folder, 0);
	ck_assert_int_eq(mkdir(deep, 0700), 0);
	setenv("XDG_RUNTIME_DIR", deep, 1);
	if (runtime(path) < 0)
		ck_assert_ptr_nonnull(strstr(err, "too long"));
}
END_TEST

START_TEST(cookies)
{
	unsigned char one[UTIL_COOKIE_BYTES], two[UTIL_COOKIE_BYTES];
	char path[PATH_MAX];
	struct stat st;

	setenv("XDG_RUNTIME_DIR", folder, 1);
	unsetenv("CKPT_COOKIE_FILE");
	ck_assert_int_eq(util_cookie_read("localhost", 7, one, err, sizeof(err)), -ENOENT);
	ck_assert_int_eq(util_cookie_make(7, one, err, sizeof(err)), 0);
	ck_assert_int_eq(util_cookie_make(7, two, err, sizeof(err)), 0);
	ck_assert_mem_eq(one, two, sizeof(one)); /* the one that is there */
	ck_assert_int_eq(util_cookie_read("localhost", 7, two, err, sizeof(err)), 0);
	ck_assert_mem_eq(one, two, sizeof(one));
	ck_assert_int_eq(util_cookie_make(8, two, err, sizeof(err)), 0);
	ck_assert_mem_ne(one, two, sizeof(one));

	snprintf(path, sizeof(path), "%s/ckpt/coordinator-7.cookie", folder);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_mode & 07777, 0600);
	ck_assert_int_eq(chmod(path, 0644), 0);
	ck_assert_int_eq(util_cookie_read("localhost", 7, two, err, sizeof(err)), -EPERM);
	ck_assert_int_eq(util_cookie_make(7, two, err, sizeof(err)), -EPERM);
	ck_assert_int_eq(chmod(path, 0600), 0);

	/* cut short: no use to anybody, and made anew */
	ck_assert_int_eq(truncate(path, 5), 0);
	ck_assert_int_eq(util_cookie_read("localhost", 7, two, err, sizeof(err)), -EINVAL);
	ck_assert_int_eq(util_cookie_make(7, two, err, sizeof(err)), 0);

	/* a symlink is not followed */
	ck_assert_int_eq(unlink(path), 0);
	ck_assert_int_eq(symlink("coordinator-8.cookie", path), 0);
	ck_assert_int_lt(util_cookie_read("localhost", 7, two, err, sizeof(err)), 0);
	ck_assert_int_lt(util_cookie_make(7, two, err, sizeof(err)), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("launch");
	TCase *tc = tcase_create("launch");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, ordinary_programs);
	tcase_add_test(tc, not_there_or_not_executable);
	tcase_add_test(tc, programs_of_other_kinds);
	tcase_add_test(tc, scripts);
	tcase_add_test(tc, programs_that_gain_rights);
	tcase_add_test(tc, path_search);
	tcase_add_test(tc, preload_values);
	tcase_add_test(tc, preload_paths);
	tcase_add_test(tc, runtime_directory);
	tcase_add_test(tc, runtime_directory_too_long);
	tcase_add_test(tc, cookies);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
