/* SPDX-License-Identifier: MIT */
/*
 * For programs of several processes: children wait for SIGUSR1 (no other way
 * to reach them has to survive), do what they have to, and end; the parent
 * learns from their status what they found.
 */
#ifndef TEST_TREE_H
#define TEST_TREE_H

#include "story.h"

#include <signal.h>
#include <sys/wait.h>

struct place {
	pid_t pid, ppid, pgid, sid;
};

static inline struct place place_of_me(void)
{
	return (struct place){getpid(), getppid(), getpgrp(), getsid(0)};
}

/* Numbers outside the job may be others after a restart. */
static inline void check_place(const struct place *then)
{
	struct place now = place_of_me();

	check(now.pid == then->pid);
	check(now.ppid == then->ppid);
	check(now.pgid == then->pgid);
	check(now.sid == then->sid);
}

/* Before any fork: whoever comes later finds it blocked. */
static inline void tree_start(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	sigaddset(&set, SIGCHLD);
	check(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
}

static inline void await_signal(int number)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, number);
	check(sigwaitinfo(&set, NULL) == number);
}

/* The child says by `number` that it stands where it shall. */
static inline void tell(pid_t pid, int number)
{
	check(kill(pid, number) == 0);
}

static inline void expect_status(pid_t pid, int status)
{
	int got;

	check(waitpid(pid, &got, 0) == pid);
	if (got != status)
		dprintf(2, "process %d ended with %#x, not %#x\n", pid, got,
			status);
	check(got == status);
}

#endif
