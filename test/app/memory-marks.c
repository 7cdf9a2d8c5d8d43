/* SPDX-License-Identifier: MIT */
/*
 * Memory that a child would not get: DONTFORK, WIPEONFORK. It survives, and
 * the marks do: a child made afterwards still does not get it. In the second
 * life more of it appears.
 */
#include "story.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define LENGTH (16ul << 12)

static volatile char *map(int advice)
{
	char *p = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	check(p != MAP_FAILED);
	check(madvise(p, LENGTH, advice) == 0);
	memset(p, advice, LENGTH);
	return p;
}

static void expect(volatile char *p, int advice)
{
	for (size_t i = 0; i < LENGTH; i += 512)
		check(p[i] == advice);
}

/* What a child finds there: a byte, or -1 for nothing. */
static int in_child(volatile char *p)
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		signal(SIGSEGV, SIG_DFL);
		_exit(*p);
	}
	check(waitpid(child, &status, 0) == child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int main(void)
{
	volatile char *kept = map(MADV_NORMAL), *wiped = NULL, *left;

	left = map(MADV_DONTFORK);
	for (int life = 0; life < 2; life++) {
		if (life)
			wiped = map(MADV_WIPEONFORK);
		story_ready();
		expect(kept, MADV_NORMAL);
		expect(left, MADV_DONTFORK);
		check(in_child(kept) == MADV_NORMAL);
		check(in_child(left) == -1);
		if (!life)
			continue;
		expect(wiped, MADV_WIPEONFORK);
		check(in_child(wiped) == 0);
	}
	return 0;
}
