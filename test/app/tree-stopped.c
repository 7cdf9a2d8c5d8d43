/* SPDX-License-Identifier: MIT */
/* A stopped child stays stopped until it is continued; its grandchild, which
 * is not, runs. */
#include "tree.h"

static char state_of(pid_t pid)
{
	char path[64], text[512], *end;
	ssize_t length;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	check(fd >= 0);
	length = read(fd, text, sizeof(text) - 1);
	check(length > 0);
	close(fd);
	text[length] = 0;
	end = strrchr(text, ')');
	check(end);
	return end[2];
}

int main(void)
{
	pid_t child, answering;
	int status, round;

	tree_start();
	child = fork();
	check(child >= 0);
	if (child == 0) {
		for (;;) {
			await_signal(SIGUSR1);
			tell(getppid(), SIGUSR2);
		}
	}
	answering = fork();
	check(answering >= 0);
	if (answering == 0) {
		for (;;) {
			await_signal(SIGUSR1);
			tell(getppid(), SIGUSR2);
		}
	}
	for (round = 0; round < 3; round++) {
		tell(child, SIGSTOP);
		check(waitpid(child, &status, WUNTRACED) == child);
		check(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
		check(state_of(child) == 'T');
		story_ready();
		check(state_of(child) == 'T');
		tell(child, SIGUSR1); /* stays pending */
		tell(answering, SIGUSR1);
		await_signal(SIGUSR2);
		check(state_of(child) == 'T');
		tell(child, SIGCONT);
		await_signal(SIGUSR2);
		check(state_of(child) != 'T');
	}
	tell(child, SIGKILL);
	tell(answering, SIGKILL);
	expect_status(child, SIGKILL);
	expect_status(answering, SIGKILL);
	return 0;
}
