/* SPDX-License-Identifier: MIT */
/* Sessions and groups whose leader lives, is dead or has gone elsewhere;
 * children from before their parent's setsid(); orphans and daemons. */
#include "tree.h"

/* From here on the caller goes on as the child's parent. */
static pid_t born(void)
{
	pid_t pid = fork();

	check(pid >= 0);
	return pid;
}

static void reap(pid_t pid)
{
	check(waitpid(pid, NULL, 0) == pid);
}

/* A session of its own, with a child from before, one of after, one in a group
 * of its own, and an orphan. */
static _Noreturn void session(void)
{
	pid_t me = getpid(), pid;

	if (born() == 0)
		member(2, me, OUTSIDE, OUTSIDE);
	check(setsid() == me);
	if (born() == 0)
		member(3, me, me, me);
	if (born() == 0) {
		check(setpgid(0, 0) == 0);
		member(4, me, getpid(), me);
	}
	pid = born();
	if (pid == 0) {
		pid = getpid();
		if (born() == 0) {
			while (getppid() == pid)
				;
			member(5, OUTSIDE, me, me);
		}
		_exit(0);
	}
	reap(pid);
	member(1, tree_root, me, me);
}

static void daemonize(void)
{
	pid_t pid = born();

	if (pid == 0) {
		pid_t middle = setsid();

		check(middle == getpid());
		if (born() == 0) {
			pid_t daemon = getpid();

			while (getppid() == middle)
				;
			if (born() == 0)
				member(7, daemon, middle, middle);
			member(6, OUTSIDE, middle, middle);
		}
		_exit(0);
	}
	reap(pid);
}

static void orphan(void)
{
	pid_t pid = born();

	if (pid == 0) {
		pid = getpid();
		if (born() == 0) {
			while (getppid() == pid)
				;
			member(8, OUTSIDE, OUTSIDE, OUTSIDE);
		}
		_exit(0);
	}
	reap(pid);
}

/* A group whose leader has ended, and one whose leader has joined that. */
static void groups(void)
{
	pid_t dead = born(), left, pid;

	if (dead == 0) {
		await_signal(SIGUSR1);
		_exit(0);
	}
	check(setpgid(dead, dead) == 0);
	pid = born();
	if (pid == 0) {
		check(setpgid(0, dead) == 0);
		member(9, tree_root, dead, OUTSIDE);
	}
	await_members(1);
	tell(dead, SIGUSR1);
	reap(dead);
	left = born();
	if (left == 0) {
		check(setpgid(0, 0) == 0);
		tell(tree_root, SIGUSR2);
		await_signal(SIGUSR2);
		check(setpgid(0, dead) == 0);
		member(10, tree_root, dead, OUTSIDE);
	}
	await_signal(SIGUSR2);
	pid = born();
	if (pid == 0) {
		check(setpgid(0, left) == 0);
		member(11, tree_root, left, OUTSIDE);
	}
	await_members(1);
	tell(left, SIGUSR2);
	await_members(1);
}

int main(void)
{
	int round;

	tree_begin();
	if (born() == 0)
		session();
	await_members(5);
	daemonize();
	await_members(2);
	orphan();
	await_members(1);
	groups();
	for (round = 0; round < 3; round++) {
		ask_members();
		story_ready();
	}
	ask_members();
	end_members();
	while (wait(NULL) > 0)
		;
	check(errno == ECHILD);
	return 0;
}
