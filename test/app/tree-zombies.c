/* SPDX-License-Identifier: MIT */
/* Ended children that nobody has waited for: their status and group are kept,
 * and no second SIGCHLD tells of them. */
#include "tree.h"

#include <sys/resource.h>

static const int statuses[] = {0, 42 << 8, 255 << 8, SIGKILL, SIGTERM, SIGSEGV, 64};
#define COUNT (int)(sizeof(statuses) / sizeof(*statuses))

static _Noreturn void end(int status)
{
	sigset_t all;

	if (WIFSIGNALED(status)) {
		sigfillset(&all);
		sigprocmask(SIG_UNBLOCK, &all, NULL);
		raise(WTERMSIG(status));
	}
	_exit(WEXITSTATUS(status));
}

static void await_zombie(pid_t pid)
{
	siginfo_t info;

	check(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) == 0);
}

static int sigchld_pending(void)
{
	sigset_t set;

	check(sigpending(&set) == 0);
	return sigismember(&set, SIGCHLD);
}

static void round_of(void)
{
	struct rlimit none = {0, 0};
	pid_t pids[COUNT], group, quiet;
	int i, status;

	setrlimit(RLIMIT_CORE, &none);
	for (i = 0; i < COUNT; i++) {
		pids[i] = fork();
		check(pids[i] >= 0);
		if (pids[i] == 0)
			end(statuses[i]);
		await_zombie(pids[i]);
	}
	/* In a group of its own, which waitpid() can ask for. */
	group = fork();
	check(group >= 0);
	if (group == 0) {
		setpgid(0, 0);
		_exit(7);
	}
	await_zombie(group);
	quiet = fork(); /* somebody who lives */
	check(quiet >= 0);
	if (quiet == 0) {
		await_signal(SIGUSR1);
		_exit(9);
	}
	while (sigchld_pending())
		await_signal(SIGCHLD);
	story_ready();
	check(!sigchld_pending());
	check(waitpid(-group, &status, WNOHANG) == group);
	check(status == 7 << 8);
	for (i = COUNT - 1; i >= 0; i--) {
		check(waitpid(pids[i], &status, WNOHANG) == pids[i]);
		check(status == statuses[i]);
	}
	check(waitpid(-1, NULL, WNOHANG) == 0);
	tell(quiet, SIGUSR1);
	expect_status(quiet, 9 << 8);
	check(sigchld_pending());
}

int main(void)
{
	tree_start();
	round_of();
	round_of();
	round_of();
	return 0;
}
