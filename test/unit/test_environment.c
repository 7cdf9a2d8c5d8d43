/* SPDX-License-Identifier: MIT */
/* What exec passes on: src/preload/wrap/environment.c. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "preload/preload.h"
#include "preload/wrap/environment.h"

struct preload preload;
static struct registry_slot slot;

static void setup(void)
{
	preload = (struct preload){
		.slot = &slot,
		.runtime_dir = "/run/ckpt/a-1",
		.coordinator = "127.0.0.1:7790",
		.computation = "a",
		.library = "/lib/libckpt.so",
	};
}

/* NULL: passed on as it is. */
static char *const *pass(char *const envp[])
{
	size_t size = environment_size(envp);
	char *room;

	if (!size)
		return NULL;
	/* A byte too many written is seen: the heap ends there. */
	room = malloc(size);
	ck_assert_ptr_nonnull(room);
	return environment_build(room, envp);
}

static int count(char *const *vector, const char *entry)
{
	int n = 0;

	for (; *vector; vector++)
		n += strcmp(*vector, entry) == 0;
	return n;
}

static int length(char *const *vector)
{
	int n = 0;

	while (vector[n])
		n++;
	return n;
}

static void complete(char *const *vector, const char *list)
{
	ck_assert_int_eq(count(vector, "CKPT_GROUP_DIR=/run/ckpt/a-1"), 1);
	ck_assert_int_eq(count(vector, "CKPT_COORDINATOR=127.0.0.1:7790"), 1);
	ck_assert_int_eq(count(vector, "CKPT_COMPUTATION=a"), 1);
	ck_assert_int_eq(count(vector, list), 1);
}

START_TEST(untouched)
{
	char *right[] = {"CKPT_COMPUTATION=a",
			 "CKPT_GROUP_DIR=/run/ckpt/a-1",
			 "LD_PRELOAD=/x.so /lib/libckpt.so",
			 "HOME=/",
			 "CKPT_COORDINATOR=127.0.0.1:7790",
			 NULL};

	ck_assert_ptr_null(pass(right));
	preload.slot = NULL; /* in no computation */
	ck_assert_ptr_null(pass(NULL));
}
END_TEST

START_TEST(emptied)
{
	char *none[] = {NULL};
	char *const *got = pass(none);

	complete(got, "LD_PRELOAD=/lib/libckpt.so");
	ck_assert_int_eq(length(got), 4);
	got = pass(NULL);
	complete(got, "LD_PRELOAD=/lib/libckpt.so");
}
END_TEST

START_TEST(others_kept)
{
	char *mixed[] = {"A=1",
			 "LD_PRELOAD=/other.so:/lib/libckpt.so.1",
			 "CKPT_COORDINATOR=elsewhere:1",
			 "LD_PRELOADED=no",
			 "CKPT_DIR=/d",
			 NULL};
	char *const *got = pass(mixed);

	complete(got, "LD_PRELOAD=/lib/libckpt.so:/other.so:/lib/libckpt.so.1");
	ck_assert_int_eq(count(got, "A=1"), 1);
	ck_assert_int_eq(count(got, "LD_PRELOADED=no"), 1);
	ck_assert_int_eq(count(got, "CKPT_DIR=/d"), 1);
	ck_assert_int_eq(length(got), 7);
	/* and what has been built is right */
	ck_assert_ptr_null(pass(got));
}
END_TEST

START_TEST(preload_present)
{
	char *only[] = {"LD_PRELOAD=/lib/libckpt.so:/other.so", NULL};
	char *const *got = pass(only);

	complete(got, "LD_PRELOAD=/lib/libckpt.so:/other.so");
	ck_assert_int_eq(length(got), 4);
}
END_TEST

START_TEST(preload_empty)
{
	char *only[] = {"LD_PRELOAD=", "NOEQUALS", NULL};
	char *const *got = pass(only);

	complete(got, "LD_PRELOAD=/lib/libckpt.so");
	ck_assert_int_eq(count(got, "NOEQUALS"), 1);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("environment");
	TCase *tcase = tcase_create("exec");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tcase, setup, NULL);
	tcase_add_test(tcase, untouched);
	tcase_add_test(tcase, emptied);
	tcase_add_test(tcase, others_kept);
	tcase_add_test(tcase, preload_present);
	tcase_add_test(tcase, preload_empty);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
