/* SPDX-License-Identifier: MIT */
/*
 * nursery SECONDS COMMAND [ARG...]
 *
 * Runs the command and leaves nothing behind: as a subreaper it becomes the
 * parent of whatever the command loses (daemons, agents, capsules), and kills
 * it all, by pid, when the command has ended, when the time is over (exit
 * status 124) or when it is told to end itself. Otherwise the exit status is
 * the command's.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Calls `each` for every child of the process, whichever thread's it is. */
static int children(pid_t pid, int (*each)(pid_t))
{
	char path[64];
	struct dirent *entry;
	int count = 0;
	DIR *tasks;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	tasks = opendir(path);
	if (!tasks)
		return 0;
	while ((entry = readdir(tasks))) {
		char list[400];
		FILE *file;
		int child;

		if (entry->d_name[0] == '.')
			continue;
		snprintf(list, sizeof(list), "%s/%s/children", path,
			 entry->d_name);
		file = fopen(list, "re");
		if (!file)
			continue;
		while (fscanf(file, "%d", &child) == 1)
			count += each(child);
		fclose(file);
	}
	closedir(tasks);
	return count;
}

/* From the leaves to the root would leave a gap in which a parent starts the
 * next one: stop the parent first. */
static int end_tree(pid_t pid)
{
	int count = 1;

	kill(pid, SIGSTOP);
	count += children(pid, end_tree);
	kill(pid, SIGKILL);
	return count;
}

static int show_tree(pid_t pid)
{
	char path[64], line[256] = "";
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "re");
	if (file) {
		if (fgets(line, sizeof(line), file))
			fprintf(stderr, "still there: %.120s\n", line);
		fclose(file);
	}
	return 1 + children(pid, show_tree);
}

static void end_all(void)
{
	int tries;

	/* Killing makes orphans, which become ours: until there is none. */
	for (tries = 0; tries < 1000; tries++) {
		if (!children(getpid(), end_tree))
			break;
		if (waitpid(-1, NULL, 0) < 0 && errno == ECHILD)
			break;
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
	}
}

int main(int argc, char **argv)
{
	struct timespec left = {0};
	struct timespec now, end;
	sigset_t watched, before;
	int status = 0, ret = 1;
	pid_t command;

	if (argc < 3) {
		fprintf(stderr, "usage: nursery SECONDS COMMAND [ARG...]\n");
		return 2;
	}
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	sigemptyset(&watched);
	sigaddset(&watched, SIGCHLD);
	sigaddset(&watched, SIGINT);
	sigaddset(&watched, SIGTERM);
	sigaddset(&watched, SIGHUP);
	sigprocmask(SIG_BLOCK, &watched, &before);
	command = fork();
	if (command < 0) {
		perror("nursery: fork");
		return 1;
	}
	if (command == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		sigprocmask(SIG_SETMASK, &before, NULL);
		execvp(argv[2], argv + 2);
		perror(argv[2]);
		_exit(127);
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += atoi(argv[1]);
	for (;;) {
		int got;
		pid_t pid;

		clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec >= end.tv_sec) {
			fprintf(stderr, "nursery: not done after %s s\n",
				argv[1]);
			children(getpid(), show_tree);
			ret = 124;
			break;
		}
		left.tv_sec = end.tv_sec - now.tv_sec;
		got = sigtimedwait(&watched, NULL, &left);
		if (got < 0)
			continue;
		if (got != SIGCHLD) {
			ret = 128 + got;
			break;
		}
		while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
			if (pid == command)
				goto ended;
	}
	end_all();
	return ret;
ended:
	ret = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	end_all();
	return ret;
}
