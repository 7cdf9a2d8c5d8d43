/* SPDX-License-Identifier: MIT */
/* Telling a system call by the code before it: arch/x86_64/decode.c. */
#define _GNU_SOURCE
#include <check.h>
#include <elf.h>
#include <link.h>
#include <stdio.h>
#include <string.h>

#include "preload/handler/arch/x86_64/context.h"

static _Alignas(4096) unsigned char code[8192];

/* The bytes end where the syscall instruction is. */
#define number(...)                                                            \
	({                                                                     \
		const unsigned char bytes[] = {__VA_ARGS__, 0x0f, 0x05};       \
		unsigned char *end = code + 2048;                              \
		memset(code, 0xcc, sizeof(code));                              \
		memcpy(end - sizeof(bytes) + 2, bytes, sizeof(bytes));         \
		(int)context_call_number(end);                                 \
	})

START_TEST(directly)
{
	ck_assert_int_eq(number(0xb8, 7, 0, 0, 0), 7);
	ck_assert_int_eq(number(0xb8, 0xb9, 1, 0, 0), 441);
	ck_assert_int_eq(number(0x31, 0xc0), 0);
	ck_assert_int_eq(number(0x33, 0xc0), 0);
	/* xor %r8d, %r8d is not xor %eax, %eax */
	ck_assert_int_eq(number(0x45, 0x31, 0xc0), -1);
	/* mov $202, %r8d */
	ck_assert_int_eq(number(0x41, 0xb8, 0xca, 0, 0, 0), -1);
	/* no number of a system call */
	ck_assert_int_eq(number(0xb8, 0, 0, 1, 0), -1);
}
END_TEST

START_TEST(with_arguments_after)
{
	/* mov $0x119, %eax; mov 0x4(%rsp), %edi */
	ck_assert_int_eq(number(0xb8, 0x19, 1, 0, 0, 0x8b, 0x7c, 0x24, 4),
			 0x119);
	/* mov $202, %eax; xor $0x80, %sil */
	ck_assert_int_eq(number(0xb8, 0xca, 0, 0, 0, 0x40, 0x80, 0xf6, 0x80),
			 202);
	/* mov $0xcc, %eax; cmp %rsi, %r8; cmovbe %r8, %rsi */
	ck_assert_int_eq(number(0xb8, 0xcc, 0, 0, 0, 0x49, 0x39, 0xf0, 0x49,
				0x0f, 0x46, 0xf0),
			 0xcc);
	/* mov $14, %eax; movq $0x20, (%rsp) */
	ck_assert_int_eq(
		number(0xb8, 14, 0, 0, 0, 0x48, 0xc7, 4, 0x24, 0x20, 0, 0, 0),
		14);
	/* xor %eax, %eax; mov %rbx, %rsi */
	ck_assert_int_eq(number(0x31, 0xc0, 0x48, 0x89, 0xde), 0);
	/* mov $1, %eax; mov $202, %r8d */
	ck_assert_int_eq(number(0xb8, 1, 0, 0, 0, 0x41, 0xb8, 0xca, 0, 0, 0),
			 1);
}
END_TEST

START_TEST(overwritten)
{
	/* mov $7, %eax; mov %r9d, %eax */
	ck_assert_int_eq(number(0xb8, 7, 0, 0, 0, 0x44, 0x89, 0xc8), -1);
	/* mov $7, %eax; mov (%rdi), %eax */
	ck_assert_int_eq(number(0xb8, 7, 0, 0, 0, 0x8b, 7), -1);
	/* mov $7, %eax; call; jmp */
	ck_assert_int_eq(number(0xb8, 7, 0, 0, 0, 0xe8, 1, 2, 3, 4), -1);
	ck_assert_int_eq(number(0xb8, 7, 0, 0, 0, 0xeb, 0), -1);
	/* the number of what is loaded last: mov $7, %eax; mov $9, %eax */
	ck_assert_int_eq(number(0xb8, 7, 0, 0, 0, 0xb8, 9, 0, 0, 0), 9);
	/* mov $0x7b8, %edi holds the bytes of a mov to eax */
	ck_assert_int_eq(number(0xbf, 0xb8, 7, 0, 0, 0x90), -1);
}
END_TEST

/* Nothing before the page is read. */
START_TEST(page_begins)
{
	unsigned char *page = code + 4096;

	memset(code, 0xcc, sizeof(code));
	memcpy(page - 5, "\xb8\x07\0\0\0\x0f\x05", 7);
	ck_assert_int_eq((int)context_call_number(page), -1);
	memcpy(page, "\xb8\x07\0\0\0\x0f\x05", 7);
	ck_assert_int_eq((int)context_call_number(page + 5), 7);
}
END_TEST

/* In libc itself most are found, and nothing impossible. */
static int calls, found;

static int scan(struct dl_phdr_info *info, size_t size, void *data)
{
	const unsigned char *at, *end;
	int i;

	(void)size;
	(void)data;
	if (!strstr(info->dlpi_name, "libc.so"))
		return 0;
	for (i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];

		if (p->p_type != PT_LOAD || !(p->p_flags & PF_X))
			continue;
		at = (void *)(info->dlpi_addr + p->p_vaddr);
		for (end = at + p->p_memsz - 1; at < end; at++) {
			if (!context_is_call(at))
				continue;
			calls++;
			found += context_call_number(at) >= 0;
		}
	}
	return 1;
}

START_TEST(libc)
{
	dl_iterate_phdr(scan, NULL);
	printf("%d of %d calls in libc\n", found, calls);
	if (calls < 100)
		return; /* a libc of another make */
	ck_assert_int_gt(found, calls * 8 / 10);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("decode");
	TCase *tcase = tcase_create("system calls");
	SRunner *runner;
	int failed;

	tcase_add_test(tcase, directly);
	tcase_add_test(tcase, with_arguments_after);
	tcase_add_test(tcase, overwritten);
	tcase_add_test(tcase, page_begins);
	tcase_add_test(tcase, libc);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
