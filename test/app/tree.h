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

/* For System V: others that run at the same time have others. */
static inline int unused_key(void)
{
	int key = 0;

	check(getentropy(&key, sizeof(key)) == 0);
	return key | 1; /* not IPC_PRIVATE */
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

/* ---- the members of a job that is no simple tree: each says hello to the
 * root process, which tells them to go when the time has come, and hears
 * whether they stand where they belong ---- */

#define TREE_MEMBERS 64

static pid_t tree_root;
static pid_t tree_pids[TREE_MEMBERS]; /* in the root; by the member's number */

enum { OUTSIDE = 0 };

/* As a member: until the end. OUTSIDE: the parent may be any that is not of
 * the job; group and session are the root's. */
static inline _Noreturn void member(int number, pid_t parent, pid_t group,
				    pid_t session)
{
	union sigval value = {.sival_int = number};
	pid_t pid = getpid(), adopted = getppid();
	int right;

	check(sigqueue(tree_root, SIGRTMIN, value) == 0);
	for (;;) {
		await_signal(SIGUSR1);
		right = getpid() == pid &&
			(parent ? getppid() == parent
				: getppid() == 1 || getppid() == adopted) &&
			getpgrp() == (group ? group : getpgid(tree_root)) &&
			getsid(0) == (session ? session : getsid(tree_root));
		if (!right)
			dprintf(2,
				"member %d: pid %d, parent %d, group %d, session %d; should be: %d, %d, %d, %d\n",
				number, getpid(), getppid(), getpgrp(),
				getsid(0), pid, parent, group, session);
		value.sival_int = right ? number : -1;
		check(sigqueue(tree_root, SIGRTMIN, value) == 0);
	}
}

static inline int hear_member(pid_t *pid)
{
	siginfo_t info;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	check(sigwaitinfo(&set, &info) == SIGRTMIN);
	*pid = info.si_pid;
	return info.si_value.sival_int;
}

static inline void tree_begin(void)
{
	sigset_t set;

	tree_start();
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	check(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
	tree_root = getpid();
}

/* In the root: `count` members have come. */
static inline void await_members(int count)
{
	pid_t pid;
	int i;

	for (i = 0; i < count; i++) {
		int number = hear_member(&pid);

		check(number > 0 && number < TREE_MEMBERS);
		tree_pids[number] = pid;
	}
}

/* All of them stand where they did. */
static inline void ask_members(void)
{
	pid_t pid;
	int i;

	for (i = 1; i < TREE_MEMBERS; i++) {
		if (!tree_pids[i])
			continue;
		tell(tree_pids[i], SIGUSR1);
		check(hear_member(&pid) == i);
		check(pid == tree_pids[i]);
	}
}

static inline void end_members(void)
{
	int i;

	for (i = 1; i < TREE_MEMBERS; i++)
		if (tree_pids[i])
			kill(tree_pids[i], SIGKILL);
}

#endif
