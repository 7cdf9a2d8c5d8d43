/* SPDX-License-Identifier: MIT */
/*
 * Processes that share descriptions, but not under the same numbers: at those
 * of the others each has something of its own, or another shared one.
 */
#include "tree.h"
#include "twice.h"

#include <sys/eventfd.h>

#define SHARED 12
#define FIRST 20
#define MOVED 60

static pid_t children[3];

static void put(int fd, int number)
{
	check(fd >= 0);
	if (fd == number)
		return;
	check(dup2(fd, number) == number);
	close(fd);
}

static void is(int fd, uint64_t count)
{
	uint64_t found;

	check(read(fd, &found, sizeof(found)) == sizeof(found));
	check(found == count);
	/* The others read it, too. */
	check(write(fd, &found, sizeof(found)) == sizeof(found));
}

static int with_own(void)
{
	int i;

	for (i = 0; i < SHARED; i++) {
		put(dup(FIRST + i), MOVED + i);
		put(eventfd(200 + (unsigned)i, EFD_NONBLOCK), FIRST + i);
	}
	tell(getppid(), SIGUSR2);
	await_signal(SIGUSR1);
	for (i = 0; i < SHARED; i++) {
		is(MOVED + i, 100 + (unsigned)i);
		is(FIRST + i, 200 + (unsigned)i);
	}
	return 0;
}

static int turned_round(void)
{
	int i;

	for (i = 0; i < SHARED; i++)
		put(dup(FIRST + i), MOVED + i);
	for (i = 0; i < SHARED; i++)
		put(MOVED + i, FIRST + (i + 5) % SHARED);
	tell(getppid(), SIGUSR2);
	await_signal(SIGUSR1);
	for (i = 0; i < SHARED; i++)
		is(FIRST + (i + 5) % SHARED, 100 + (unsigned)i);
	return 0;
}

static int one_at_two(void)
{
	int i;

	for (i = 0; i < SHARED; i++)
		if (i != 4)
			close(FIRST + i);
	put(dup(FIRST + 4), FIRST);
	put(eventfd(300, EFD_NONBLOCK), FIRST + 7);
	tell(getppid(), SIGUSR2);
	await_signal(SIGUSR1);
	is(FIRST, 104);
	is(FIRST + 4, 104);
	is(FIRST + 7, 300);
	return 0;
}

static void prepare(void)
{
	int (*const what[])(void) = {with_own, turned_round, one_at_two};
	int i;

	for (i = 0; i < SHARED; i++)
		put(eventfd(100 + (unsigned)i, EFD_NONBLOCK), FIRST + i);
	for (i = 0; i < 3; i++) {
		children[i] = fork();
		check(children[i] >= 0);
		if (!children[i])
			_exit(what[i]());
		await_signal(SIGUSR2);
	}
	/* And the parent has other things at its own by now. */
	for (i = 0; i < SHARED; i++)
		put(eventfd(400 + (unsigned)i, EFD_NONBLOCK),
		    i % 2 ? MOVED + i : FIRST + i);
}

static void verify(void)
{
	int i;

	for (i = 0; i < 3; i++) {
		tell(children[i], SIGUSR1);
		expect_status(children[i], 0);
	}
	for (i = 0; i < SHARED; i++) {
		is(i % 2 ? MOVED + i : FIRST + i, 400 + (unsigned)i);
		if (i % 2)
			is(FIRST + i, 100 + (unsigned)i);
	}
}

int main(void)
{
	tree_start();
	return twice(prepare, verify);
}
