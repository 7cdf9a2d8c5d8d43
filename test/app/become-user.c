/* SPDX-License-Identifier: MIT */
/*
 * Started by root, becomes an ordinary user for good, with groups, and
 * goes away. Others are it for a while only.
 */
#include "tree.h"

#include <grp.h>
#include <sys/prctl.h>

#define USER 61001
#define GROUP 61002

static const gid_t groups[] = {61003, 61004};

static void expect_user(void)
{
	gid_t got[8];
	uid_t r, e, s;
	gid_t rg, eg, sg;
	int n = getgroups(8, got);

	check(getresuid(&r, &e, &s) == 0 && getresgid(&rg, &eg, &sg) == 0);
	check(r == USER && e == USER && s == USER);
	check(rg == GROUP && eg == GROUP && sg == GROUP);
	check(n == 2 && got[0] == groups[0] && got[1] == groups[1]);
	check(setuid(0) < 0 && errno == EPERM);
	check(access("secret", R_OK) < 0 && errno == EACCES);
}

static void become(void)
{
	check(setgroups(2, groups) == 0);
	check(setgid(GROUP) == 0 && setuid(USER) == 0);
	expect_user();
}

/* Effective only: it can and does come back. */
static void expect_borrowed(void)
{
	uid_t r, e, s;

	check(getresuid(&r, &e, &s) == 0);
	check(r == 0 && e == USER && s == 0);
	check(seteuid(0) == 0 && access("secret", R_OK) == 0);
	check(seteuid(USER) == 0);
}

static int answers[2]; /* who is no root any more cannot signal us */

static void hear(void)
{
	char byte;

	check(read(answers[0], &byte, 1) == 1);
}

static pid_t child(void (*be)(void), void (*expect)(void))
{
	pid_t pid = fork();

	check(pid >= 0);
	if (pid == 0) {
		be();
		for (;;) {
			check(write(answers[1], "", 1) == 1);
			await_signal(SIGUSR1);
			expect();
		}
	}
	hear();
	return pid;
}

static void daemonize(void)
{
	check(setsid() == getpid());
	close(0), close(1), close(2);
	become();
}

static void borrow(void)
{
	check(seteuid(USER) == 0);
}

int main(void)
{
	pid_t pids[3];
	int fd, i, round;

	tree_start();
	check(pipe(answers) == 0);
	fd = open("secret", O_CREAT | O_WRONLY, 0600);
	check(fd >= 0);
	close(fd);
	pids[0] = child(become, expect_user);
	pids[1] = child(daemonize, expect_user);
	pids[2] = child(borrow, expect_borrowed);
	for (round = 0; round < 2; round++) {
		story_ready();
		for (i = 0; i < 3; i++) {
			tell(pids[i], SIGUSR1);
			hear();
		}
	}
	for (i = 0; i < 3; i++) {
		check(kill(pids[i], SIGKILL) == 0);
		expect_status(pids[i], SIGKILL);
	}
	story_ready();
	return 0;
}
