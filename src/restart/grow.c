/* SPDX-License-Identifier: MIT */
/*
 * Making the tree, in the capsule. Every process makes its children as
 * tree_plan() has decided, then all of them meet several times, as each step
 * relies on what others have done in the one before:
 *
 *	made		all exist, in their sessions
 *	led		every group that is needed has its leader
 *	joined		everybody is in its group
 *	for each rank	adopters are subreapers; then helpers have ended, and
 *			their orphans have come to the adopters
 *
 * After that the dead end, each parent having seen to its own, and the others
 * go to become what they were. Who fails says so and ends; ckpt_restart kills
 * the capsule then, and with it those who wait.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/capability.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "restart/capsule.h"
#include "restart/say.h"
#include "restart/tree.h"

#define IDLE_NS 200000000L
#define TICK_NS 10000000L /* of start times: USER_HZ is 100 */

static struct {
	struct job *job;
	struct tree *tree;
	const char *group_dir;
	int caps_keep;
	void (*idle)(void); /* init only */
	size_t present;	    /* who comes to the next meeting */
	uint32_t met;
} grow;

pid_t tree_fork(pid_t pid, int exit_signal)
{
	struct clone_args args = {.exit_signal = (uint64_t)exit_signal};

	if (pid) {
		args.set_tid = (uint64_t)(uintptr_t)&pid;
		args.set_tid_size = 1;
	}
	return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

/* By a signal of somebody's, as nobody ends who has not met the others: then
 * they would wait for ever. */
static void check_children(uint32_t now)
{
	siginfo_t info = {0};

	if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) < 0 ||
	    !info.si_pid)
		return;
	if (__atomic_load_n(&grow.tree->meeting->gate, __ATOMIC_SEQ_CST) == now)
		fail("process %d ended while it was being restarted",
		     info.si_pid);
}

static void meet(void)
{
	struct tree_meeting *m = grow.tree->meeting;
	const struct timespec idle = {.tv_nsec = IDLE_NS};
	uint32_t now = grow.met++;

	if (__atomic_add_fetch(&m->arrived, 1, __ATOMIC_SEQ_CST) ==
	    grow.present) {
		m->arrived = 0; /* nobody comes to the next one before this */
		__atomic_store_n(&m->gate, now + 1, __ATOMIC_SEQ_CST);
		syscall(SYS_futex, &m->gate, FUTEX_WAKE, INT32_MAX, NULL, NULL,
			0);
	}
	while (__atomic_load_n(&m->gate, __ATOMIC_SEQ_CST) == now) {
		syscall(SYS_futex, &m->gate, FUTEX_WAIT, now,
			&idle, NULL, 0);
		check_children(now);
		if (grow.idle)
			grow.idle();
	}
}

/* ---- making ---- */

static _Noreturn void live(struct tree_node *n);

/* At the next checkpoint the root process is known by having started before
 * all others. Start times are counted in ticks. */
static void await_tick(void)
{
	struct timespec now;
	long rest;

	clock_gettime(CLOCK_BOOTTIME, &now);
	rest = TICK_NS - now.tv_nsec % TICK_NS;
	now.tv_nsec += rest;
	if (now.tv_nsec >= 1000000000L) {
		now.tv_nsec -= 1000000000L;
		now.tv_sec++;
	}
	while (clock_nanosleep(CLOCK_BOOTTIME, TIMER_ABSTIME, &now, NULL) ==
	       EINTR)
		;
}

static int is_root(const struct tree_node *n)
{
	return n->process == job_root(grow.job);
}

static void make(struct tree_node *n)
{
	/* Nobody but us shall wait for those that only play a part. */
	int dummy = n->role == TREE_LEADER || n->role == TREE_HELPER;

	n->made_pid = tree_fork(n->pid, dummy ? 0 : SIGCHLD);
	if (n->made_pid == 0)
		live(n);
	if (n->made_pid > 0)
		return;
	if (errno == EEXIST)
		fail("process id %d is in use here: end that process, or allow namespaces (see ckpt_restart(1), CAPSULE)",
		     n->pid);
	if (errno == EPERM)
		fail("process id %d cannot be chosen without CAP_CHECKPOINT_RESTORE: allow namespaces (see ckpt_restart(1), CAPSULE) or restart as root",
		     n->pid);
	if (errno == EAGAIN)
		fail("process %d cannot be made: the limit of processes is reached (ulimit -u, pids.max of the control group)",
		     n->pid);
	fail("process %d cannot be made: %s", n->pid, strerror(errno));
}

static void make_all(struct tree_node *maker, int early)
{
	struct tree_node *n;

	for (n = maker->made; n; n = n->made_next) {
		if (n->early != early)
			continue;
		make(n);
		if (is_root(n) && grow.tree->count > 1)
			await_tick();
	}
}

static void make_own(struct tree_node *n)
{
	if (is_root(n) && n->made)
		await_tick();
	make_all(n, 1);
	if (n->own_session && setsid() < 0)
		fail("session %d cannot be made: %s", n->sid, strerror(errno));
	if (n->own_session && n->role == TREE_PROCESS)
		commons_lead_session(grow.job);
	make_all(n, 0);
	meet();
}

/* ---- groups ---- */

static void join_group(const struct tree_node *n)
{
	/* What is outside has no number here; one is born in it. */
	if (n->pgid <= 0 || n->pgid == getpgrp())
		return;
	if (setpgid(0, n->pgid) < 0)
		fail("process %d cannot join its process group %d: %s", n->pid,
		     n->pgid, strerror(errno));
}

static void group(const struct tree_node *n)
{
	int leads = n->leads && !n->own_session;

	if (leads && setpgid(0, 0) < 0)
		fail("process group %d cannot be made: %s", n->pid,
		     strerror(errno));
	meet();
	/* A leader that has left its group waits for those who have not. */
	if (!leads)
		join_group(n);
	meet();
	if (leads)
		join_group(n);
}

/* ---- orphans ---- */

static void end_helpers(const struct tree_node *n, unsigned rank)
{
	const struct tree_node *helper;

	for (helper = n->made; helper; helper = helper->made_next)
		if (helper->role == TREE_HELPER &&
		    helper->adopter->rank == rank)
			waitpid(helper->made_pid, NULL, __WALL);
}

static void give_away_orphans(const struct tree_node *n)
{
	unsigned rank;

	for (rank = 0; rank < grow.tree->ranks; rank++) {
		int adopts = rank && n->adopts && n->rank == rank;

		if (adopts)
			prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
		meet();
		if (n->role == TREE_HELPER && n->adopter->rank == rank)
			_exit(0);
		grow.present -= grow.tree->helpers[rank];
		end_helpers(n, rank);
		meet();
		if (adopts) /* the library sets what it was */
			prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0);
	}
}

/* ---- the dead ---- */

static void await_dead(const struct tree_node *n)
{
	const struct tree_node *dead;
	siginfo_t info;

	for (dead = n->made; dead; dead = dead->made_next)
		if (dead->role == TREE_LEADER)
			waitpid(dead->made_pid, NULL, __WALL);
	for (dead = n->children; dead; dead = dead->sibling)
		if (dead->role == TREE_ZOMBIE)
			waitid(P_PID, (id_t)dead->pid, &info,
			       WEXITED | WNOWAIT);
	/* Of their ends the program has heard before. */
	signal(SIGCHLD, SIG_DFL);
}

static void drop_capabilities(void)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};

	syscall(SYS_capset, &head, none);
}

static _Noreturn void end_as(const struct tree_node *n)
{
	struct rlimit one_byte = {1, 1};
	int signal_number = WTERMSIG(n->status);
	sigset_t set;

	prctl(PR_SET_NAME, n->program);
	/* The agent, which has none there, could not read our status. */
	if (!grow.caps_keep)
		drop_capabilities();
	if (WIFSIGNALED(n->status)) {
		/* No core file, nor a pipe for it, which 0 would not stop.
		 * (Without PR_SET_DUMPABLE nobody could read our status.) */
		setrlimit(RLIMIT_CORE, &one_byte);
		signal(signal_number, SIG_DFL);
		sigemptyset(&set);
		sigaddset(&set, signal_number);
		kill(getpid(), signal_number);
		sigprocmask(SIG_UNBLOCK, &set, NULL);
	}
	_exit(WEXITSTATUS(n->status));
}

static void take_steps(struct tree_node *n)
{
	make_own(n);
	group(n);
	give_away_orphans(n);
	await_dead(n);
}

/* ckpt_restart learns our pid as it sees it: the kernel translates. */
static void say_hello(void)
{
	struct capsule_message message = {.type = CAPSULE_HELLO,
					  .pid = getpid()};

	send(say_report_fd(), &message, sizeof(message), MSG_NOSIGNAL);
}

static _Noreturn void live(struct tree_node *n)
{
	if (n->role == TREE_PROCESS)
		say_hello();
	grow.idle = NULL;
	say_on_failure(NULL);
	take_steps(n);
	switch (n->role) {
	case TREE_PROCESS:
		if (grow.job->process_count > 1)
			say_who(n->pid, n->process->process->comm);
		process_restore(grow.job, n->process, grow.group_dir,
				grow.caps_keep);
	case TREE_ZOMBIE:
		end_as(n);
	default:
		_exit(0);
	}
}

void tree_grow(struct job *job, const char *group_dir, int caps_keep,
	       void (*idle)(void))
{
	struct tree *tree = job->tree;
	size_t i;

	grow.job = job;
	grow.tree = tree;
	grow.group_dir = group_dir;
	grow.caps_keep = caps_keep;
	grow.idle = idle;
	grow.present = tree->count + 1;
	for (i = 0; i < tree->count; i++)
		tree->processes += tree->nodes[i]->role == TREE_PROCESS;
	tree->meeting = mmap(NULL, sizeof(*tree->meeting),
			     PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (tree->meeting == MAP_FAILED)
		fail("out of memory while making the processes");
	signal(SIGCHLD, SIG_DFL); /* ignored, nobody could be waited for */
	take_steps(&tree->init);
	if (tree->foreground && job->foreground && job->tty >= 0)
		tcsetpgrp(job->tty, tree->foreground);
}
