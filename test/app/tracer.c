/* SPDX-License-Identifier: MIT */
/* Holds process argv[1] as a debugger would, until the story resumes us. */
#include "story.h"

#include <sys/ptrace.h>
#include <sys/wait.h>

int main(int argc, char **argv)
{
	pid_t pid = argc > 1 ? atoi(argv[1]) : 0;

	check(ptrace(PTRACE_ATTACH, pid, NULL, NULL) == 0);
	check(waitpid(pid, NULL, __WALL) == pid);
	story_say("held");
	story_wait();
	check(ptrace(PTRACE_DETACH, pid, NULL, NULL) == 0);
	return 0;
}
