/* SPDX-License-Identifier: MIT */
/* What the frozen room reads in /proc: lines, maps, smaps, stat, fdinfo. */
#define _GNU_SOURCE
#include <check.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "preload/frozen/lines.h"
#include "preload/frozen/procfs.h"

/* ---- lines ---- */

static int file_with(const char *text, size_t length)
{
	int fd = memfd_create("lines", 0);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, length), (long)length);
	ck_assert_int_eq(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

START_TEST(lines_of_every_length)
{
	static const char text[] = "one\n\nthree is longer\nlast";
	static const char *const want[] = {"one", "", "three is longer",
					   "last"};
	char buffer[64];
	struct lines l;
	size_t i, length, size;
	char *line;

	/* Just large enough for the longest, up to all at once. */
	for (size = 17; size < sizeof(buffer); size++) {
		int fd = file_with(text, sizeof(text) - 1);

		lines_open(&l, fd, buffer, size);
		for (i = 0; i < 4; i++) {
			line = lines_next(&l, &length);
			ck_assert_ptr_nonnull(line);
			ck_assert_str_eq(line, want[i]);
			ck_assert_uint_eq(length, strlen(want[i]));
		}
		ck_assert_ptr_null(lines_next(&l, &length));
		ck_assert_int_eq(l.error, 0);
		close(fd);
	}
}
END_TEST

START_TEST(lines_too_long)
{
	char buffer[8];
	struct lines l;
	int fd = file_with("short\nfar too long\n", 19);

	lines_open(&l, fd, buffer, sizeof(buffer));
	ck_assert_str_eq(lines_next(&l, NULL), "short");
	ck_assert_ptr_null(lines_next(&l, NULL));
	ck_assert_int_eq(l.error, -EOVERFLOW);
	close(fd);
}
END_TEST

START_TEST(lines_errors)
{
	char buffer[8];
	struct lines l;

	lines_open(&l, -1, buffer, sizeof(buffer));
	ck_assert_ptr_null(lines_next(&l, NULL));
	ck_assert_int_eq(l.error, -EBADF);
}
END_TEST

/* ---- maps ---- */

START_TEST(maps_lines)
{
	struct maps_line m;

	ck_assert_int_eq(maps_parse("7f0000001000-7f0000003000 r-xp 00002000 "
				    "fe:01 1234                     /lib/a b",
				    &m),
			 0);
	ck_assert_uint_eq(m.start, 0x7f0000001000);
	ck_assert_uint_eq(m.end, 0x7f0000003000);
	ck_assert_uint_eq(m.prot, PROT_READ | PROT_EXEC);
	ck_assert_uint_eq(m.shared, 0);
	ck_assert_uint_eq(m.offset, 0x2000);
	ck_assert_uint_eq(m.dev, makedev(0xfe, 1));
	ck_assert_uint_eq(m.ino, 1234);
	ck_assert_str_eq(m.path, "/lib/a b");

	ck_assert_int_eq(maps_parse("1000-2000 -w-s 00000000 103:12345 0 ", &m),
			 0);
	ck_assert_uint_eq(m.prot, PROT_WRITE);
	ck_assert_uint_eq(m.shared, 1);
	ck_assert_uint_eq(m.dev, makedev(0x103, 0x12345));
	ck_assert_str_eq(m.path, "");

	ck_assert_int_eq(maps_parse("ffffffffff600000-ffffffffff601000 --xp "
				    "00000000 00:00 0  [vsyscall]",
				    &m),
			 0);
	ck_assert_uint_eq(m.end, 0xffffffffff601000);
	ck_assert_str_eq(m.path, "[vsyscall]");
}
END_TEST

START_TEST(maps_nonsense)
{
	static const char *const wrong[] = {
		"", "-", "1000", "1000-", "1000-2000", "1000-2000 r",
		"1000-2000 r-xp", "1000-2000 r-xp 0 00", "2000-1000 r-xp 0 0:0 0",
		"1000-1000 r-xp 0 0:0 0", "Size: 4 kB",
	};
	struct maps_line m;
	size_t i;

	for (i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		ck_assert_msg(maps_parse(wrong[i], &m) < 0, "%s", wrong[i]);
}
END_TEST

/* The kernel's own text of this very process. */
START_TEST(maps_of_ourselves)
{
	FILE *f = fopen("/proc/self/maps", "r");
	struct maps_line m;
	struct stat st, exe;
	char line[8192];
	int found = 0;

	ck_assert_int_eq(stat("/proc/self/exe", &exe), 0);
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = 0;
		ck_assert_int_eq(maps_parse(line, &m), 0);
		ck_assert(m.start < m.end);
		if ((uintptr_t)&found >= m.start && (uintptr_t)&found < m.end) {
			ck_assert_str_eq(m.path, "[stack]");
			ck_assert_uint_eq(m.prot, PROT_READ | PROT_WRITE);
		}
		if (*m.path == '/' && stat(m.path, &st) == 0 &&
		    st.st_ino == exe.st_ino && st.st_dev == exe.st_dev) {
			ck_assert_uint_eq(m.ino, exe.st_ino);
			found = 1;
		}
	}
	fclose(f);
	ck_assert_int_eq(found, 1);
}
END_TEST

START_TEST(paths)
{
	char with_newline[] = "/tmp/a\\012b\\012";
	char plain[] = "/tmp/a\\0123 (deleted)";

	ck_assert_uint_eq(procfs_unescape(with_newline), 9);
	ck_assert_str_eq(with_newline, "/tmp/a\nb\n");
	ck_assert_uint_eq(procfs_deleted(plain, strlen(plain)), 11);
	ck_assert_uint_eq(procfs_deleted("/tmp/x", 6), 6);
	ck_assert_uint_eq(procfs_deleted(" (deleted)", 10), 10);
}
END_TEST

/* ---- smaps ---- */

static struct smaps_detail detail_of(const char *const *lines)
{
	struct smaps_detail d = {0};

	while (*lines && !smaps_parse(*lines, &d))
		lines++;
	ck_assert_ptr_nonnull(*lines);
	return d;
}

START_TEST(smaps_flags)
{
	static const char *const some[] = {
		"Size:               1024 kB", "KernelPageSize:        4 kB",
		"MMUPageSize:           4 kB", "Rss:                   0 kB",
		"Swap:                  8 kB", "ProtectionKey:         5",
		"VmFlags: rd wr mr mw me gd dc nr wf dd hg mg ", NULL,
	};
	static const char *const none[] = {
		"Rss:                   0 kB", "Swap:                  0 kB",
		"VmFlags: ", NULL,
	};
	struct smaps_detail d = detail_of(some);

	ck_assert_uint_eq(d.flags, AREA_GROWSDOWN | AREA_DONTFORK |
					   AREA_NORESERVE | AREA_WIPEONFORK |
					   AREA_DONTDUMP | AREA_HUGEPAGE |
					   AREA_MERGEABLE);
	ck_assert_uint_eq(d.pkey, 5);
	ck_assert_uint_eq(d.present, 1);
	ck_assert_uint_eq(d.hugetlb_shift, 0);
	ck_assert_uint_eq(d.refused, 0);
	d = detail_of(none);
	ck_assert_uint_eq(d.flags | d.present, 0);
}
END_TEST

START_TEST(smaps_hugetlb)
{
	static const char *const lines[] = {
		"KernelPageSize:     2048 kB", "Private_Hugetlb:    2048 kB",
		"VmFlags: rd wr mr mw me de ht ", NULL,
	};
	struct smaps_detail d = detail_of(lines);

	ck_assert_uint_eq(d.flags, AREA_HUGETLB);
	ck_assert_uint_eq(d.hugetlb_shift, 21);
	ck_assert_uint_eq(d.present, 1);
}
END_TEST

START_TEST(smaps_locked)
{
	static const char *const locked[] = {"VmFlags: rd wr lo ac ?? ", NULL};
	static const char *const onfault[] = {"VmFlags: rd wr lo ?? ac ", NULL};
	static const char *const newer[] = {"VmFlags: rd wr lo lf ac ", NULL};

	ck_assert_uint_eq(detail_of(locked).flags, AREA_LOCKED);
	ck_assert_uint_eq(detail_of(onfault).flags,
			  AREA_LOCKED | AREA_LOCKONFAULT);
	ck_assert_uint_eq(detail_of(newer).flags,
			  AREA_LOCKED | AREA_LOCKONFAULT);
}
END_TEST

START_TEST(smaps_locked_by_the_kernel)
{
	char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	FILE *f = fopen("/proc/self/smaps", "r");
	struct smaps_detail d = {0};
	struct maps_line m = {0};
	char line[8192];
	int found = 0;

	/* Raw: AddressSanitizer makes nothing of mlock(). */
	if (mlock2(p, 4096, MLOCK_ONFAULT) ||
	    syscall(SYS_mlock, p + 4096, 4096))
		return; /* no limit left */
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = 0;
		if (*line < 'A' || *line > 'Z') {
			ck_assert_int_eq(maps_parse(line, &m), 0);
			d = (struct smaps_detail){0};
		} else if (smaps_parse(line, &d)) {
			if (m.start == (uintptr_t)p) {
				ck_assert_uint_eq(d.flags & AREA_LOCKONFAULT,
						  AREA_LOCKONFAULT);
				found++;
			}
			if (m.start == (uintptr_t)p + 4096) {
				ck_assert_uint_eq(d.flags & (AREA_LOCKONFAULT |
							     AREA_LOCKED),
						  AREA_LOCKED);
				found++;
			}
		}
	}
	fclose(f);
	ck_assert_int_eq(found, 2);
}
END_TEST

START_TEST(smaps_refusals)
{
	static const char *const watched[] = {"VmFlags: rd wr um ", NULL};
	static const char *const device[] = {"VmFlags: rd wr pf io ", NULL};

	ck_assert_uint_eq(detail_of(watched).refused, SMAPS_UFFD);
	ck_assert_uint_eq(detail_of(device).refused, SMAPS_IO);
}
END_TEST

/* ---- stat and others ---- */

START_TEST(stat_names)
{
	char text[1024] = "7 (a) b (c) S";
	struct stat_line s;
	int i;

	for (i = 4; i <= 52; i++)
		snprintf(text + strlen(text), 32, " %d", i == 8 ? -1 : i * 10);
	ck_assert_int_eq(stat_parse(text, &s), 0);
	ck_assert_str_eq(s.comm, "a) b (c");
	ck_assert_int_eq(s.state, 'S');
	ck_assert_int_eq((int)s.field[8], -1);
	ck_assert_uint_eq(s.field[22], 220);
	ck_assert_uint_eq(s.field[51], 510);
	ck_assert_int_lt(stat_parse("7 (a) S 1 2 3", &s), 0);
	ck_assert_int_lt(stat_parse("7 (a", &s), 0);
	ck_assert_int_lt(stat_parse("", &s), 0);
}
END_TEST

START_TEST(stat_of_ourselves)
{
	char text[4096] = "";
	struct stat_line s;
	FILE *f = fopen("/proc/self/stat", "r");

	ck_assert_ptr_nonnull(fgets(text, sizeof(text), f));
	fclose(f);
	ck_assert_int_eq(stat_parse(text, &s), 0);
	ck_assert_uint_eq(s.field[4], (uint64_t)getppid());
	ck_assert(s.field[48] < s.field[49]); /* arguments */
}
END_TEST

START_TEST(numbers)
{
	static const char text[] = "pos:\t-1\nflags:\t02100002\nmnt_id:\t15\n"
				   "XUmask:\t7\nUmask:\t0022\n";

	ck_assert_uint_eq(procfs_number(text, "flags", 8, 0), 02100002);
	ck_assert_uint_eq(procfs_number(text, "mnt_id", 10, 0), 15);
	ck_assert_uint_eq(procfs_number(text, "Umask", 8, 1), 022);
	ck_assert_uint_eq(procfs_number(text, "missing", 10, 77), 77);
	ck_assert_uint_eq(procfs_number("", "flags", 8, 5), 5);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("procfs");
	TCase *tests = tcase_create("procfs");
	SRunner *runner;
	int failed;

	tcase_add_test(tests, lines_of_every_length);
	tcase_add_test(tests, lines_too_long);
	tcase_add_test(tests, lines_errors);
	tcase_add_test(tests, maps_lines);
	tcase_add_test(tests, maps_nonsense);
	tcase_add_test(tests, maps_of_ourselves);
	tcase_add_test(tests, paths);
	tcase_add_test(tests, smaps_flags);
	tcase_add_test(tests, smaps_hugetlb);
	tcase_add_test(tests, smaps_locked);
	tcase_add_test(tests, smaps_locked_by_the_kernel);
	tcase_add_test(tests, smaps_refusals);
	tcase_add_test(tests, stat_names);
	tcase_add_test(tests, stat_of_ourselves);
	tcase_add_test(tests, numbers);
	suite_add_tcase(suite, tests);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
