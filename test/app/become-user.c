/* SPDX-License-Identifier: MIT */
/*
 * Started by root, becomes an ordinary user for good, with groups, and
 * goes away. Others are it for a while only, keep a capability, or are it in
 * one thread alone.
 */
#include "tree.h"

#include <grp.h>
#include <linux/capability.h>
#include <pthread.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define USER 61001
#define GROUP 61002

static const gid_t groups[] = {61003, 61004};

static void expect_user(void)
{
	gid_t got[8];
	uid_t r, e, s;
	gid_t rg, eg, sg;
	int n = getgroups(8, got);

	check(getresuid(&r, &e, &s) == 0);
	check(getresgid(&rg, &eg, &sg) == 0);
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

/* An ordinary user with one capability. */
#define KEPT (1u << CAP_NET_BIND_SERVICE)

static struct __user_cap_header_struct head = {
	.version = _LINUX_CAPABILITY_VERSION_3};

static void become_capable(void)
{
	struct __user_cap_data_struct kept[2] = {{KEPT, KEPT, KEPT}};

	check(prctl(PR_SET_KEEPCAPS, 1) == 0);
	check(prctl(PR_CAPBSET_DROP, CAP_SYS_CHROOT) == 0);
	become();
	check(syscall(SYS_capset, &head, kept) == 0);
	check(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_BIND_SERVICE,
		    0, 0) == 0);
	check(prctl(PR_SET_DUMPABLE, 1) == 0);
}

static void expect_capable(void)
{
	struct __user_cap_data_struct got[2];

	expect_user();
	check(syscall(SYS_capget, &head, got) == 0);
	check(got[0].effective == KEPT && got[0].permitted == KEPT);
	check(got[0].inheritable == KEPT && !got[1].permitted);
	check(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_NET_BIND_SERVICE,
		    0, 0) == 1);
	check(prctl(PR_CAPBSET_READ, CAP_SYS_CHROOT) == 0);
	check(prctl(PR_GET_DUMPABLE) == 1 && prctl(PR_GET_KEEPCAPS) == 1);
}

/* Threads of a server of files, each for another user: libc would make it the
 * whole process, the kernel does not. */
static pthread_barrier_t turn;

static void *serve(void *as)
{
	uid_t r, e, s;

	check(setfsuid(*(uid_t *)as) == 0);
	check(syscall(SYS_setresuid, 0, *(uid_t *)as - 1, 0) == 0);
	for (;;) {
		check(setfsuid((uid_t)-1) == (int)*(uid_t *)as - 1);
		check(open("secret", O_RDONLY) < 0 && errno == EACCES);
		check(syscall(SYS_getresuid, &r, &e, &s) == 0);
		check(r == 0 && e == *(uid_t *)as - 1 && s == 0);
		check(syscall(SYS_setresuid, -1, 0, -1) == 0);
		setfsuid(*(uid_t *)as);
		check(setfsuid((uid_t)-1) == (int)*(uid_t *)as);
		check(open("secret", O_RDONLY) < 0 && errno == EACCES);
		pthread_barrier_wait(&turn);
		pthread_barrier_wait(&turn);
		check(setfsuid((uid_t)-1) == (int)*(uid_t *)as);
		check(open("secret", O_RDONLY) < 0 && errno == EACCES);
		check(syscall(SYS_setresuid, -1, *(uid_t *)as - 1, -1) == 0);
	}
	return NULL;
}

static void split(void)
{
	static uid_t users[] = {USER + 10, USER + 20};
	pthread_t thread;
	int i;

	check(pthread_barrier_init(&turn, NULL, 3) == 0);
	for (i = 0; i < 2; i++)
		check(pthread_create(&thread, NULL, serve, &users[i]) == 0);
	pthread_barrier_wait(&turn);
}

static void expect_split(void)
{
	check(geteuid() == 0 && setfsuid((uid_t)-1) == 0);
	check(access("secret", R_OK) == 0);
	pthread_barrier_wait(&turn);
	pthread_barrier_wait(&turn);
}

static const struct {
	void (*be)(void);
	void (*expect)(void);
} children[] = {
	{become, expect_user},
	{daemonize, expect_user},
	{borrow, expect_borrowed},
	{become_capable, expect_capable},
	{split, expect_split},
};

#define CHILDREN ((int)(sizeof(children) / sizeof(*children)))

int main(void)
{
	pid_t pids[CHILDREN];
	int fd, i, round;

	tree_start();
	check(pipe(answers) == 0);
	fd = open("secret", O_CREAT | O_WRONLY, 0600);
	check(fd >= 0);
	close(fd);
	for (i = 0; i < CHILDREN; i++)
		pids[i] = child(children[i].be, children[i].expect);
	for (round = 0; round < 2; round++) {
		story_ready();
		for (i = 0; i < CHILDREN; i++) {
			tell(pids[i], SIGUSR1);
			hear();
		}
	}
	for (i = 0; i < CHILDREN; i++) {
		check(kill(pids[i], SIGKILL) == 0);
		expect_status(pids[i], SIGKILL);
	}
	story_ready();
	return 0;
}
