/* SPDX-License-Identifier: MIT */
/* Starts the program argv[1] and ends it when the story says so. */
#include "story.h"

#include <signal.h>
#include <sys/wait.h>

int main(int argc, char **argv)
{
	pid_t pid;

	check(argc > 1);
	pid = fork();
	check(pid >= 0);
	if (pid == 0) {
		execv(argv[1], argv + 1);
		_exit(127);
	}
	story_ready();
	check(kill(pid, SIGKILL) == 0);
	check(waitpid(pid, NULL, 0) == pid);
	story_ready();
	return 0;
}
