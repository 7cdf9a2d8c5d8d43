/* SPDX-License-Identifier: MIT */
/* Orphans that came to subreapers, one below the other; and they still do. */
#include "tree.h"

#include <sys/prctl.h>

/* A child of ours that we have not made. */
static void adopt(int number, int own_session)
{
	pid_t me = getpid(), session = getsid(0), group = getpgrp();
	pid_t pid = fork();

	check(pid >= 0);
	if (pid == 0) {
		pid_t middle = getpid();

		if (own_session)
			session = group = setsid();
		if (fork() == 0) {
			while (getppid() == middle)
				;
			member(number, me,
			       own_session ? group : OUTSIDE,
			       own_session ? session : OUTSIDE);
		}
		_exit(0);
	}
	check(waitpid(pid, NULL, 0) == pid);
}

static _Noreturn void inner(pid_t outer)
{
	check(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
	adopt(5, 1);
	adopt(6, 0);
	member(4, outer, OUTSIDE, OUTSIDE);
}

static _Noreturn void outer(void)
{
	pid_t me = getpid();

	check(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
	adopt(2, 1);
	adopt(3, 0);
	if (fork() == 0)
		inner(me);
	/* Another one, each time we are told to. */
	if (fork() == 0)
		member(7, me, OUTSIDE, OUTSIDE);
	member(1, tree_root, OUTSIDE, OUTSIDE);
}

int main(void)
{
	pid_t middle, pid;

	tree_begin();
	check(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
	if (fork() == 0)
		outer();
	await_members(7);
	ask_members();
	story_ready();
	ask_members();
	story_ready();
	ask_members();
	/* We are one, too, as before. */
	middle = fork();
	check(middle >= 0);
	if (middle == 0) {
		middle = getpid();
		if (fork() == 0) {
			while (getppid() == middle)
				;
			member(8, tree_root, OUTSIDE, OUTSIDE);
		}
		_exit(0);
	}
	check(waitpid(middle, NULL, 0) == middle);
	await_members(1);
	ask_members();
	end_members();
	while ((pid = wait(NULL)) > 0)
		;
	return 0;
}
