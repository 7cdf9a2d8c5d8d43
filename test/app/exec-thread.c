/* SPDX-License-Identifier: MIT */
/*
 * A thread that is not the first executes a program: it takes the number of
 * the first, and the others are gone. Once before each checkpoint, and in a
 * loop while checkpoints are taken: "loop" says how often it has been done,
 * and ends when the file "gate" is there.
 *
 * BUILD: -pthread
 */
#include "story.h"

#include <pthread.h>
#include <sys/syscall.h>

static pid_t pid;
static char *words[5];

static void *sleeper(void *arg)
{
	for (;;)
		pause();
	return arg;
}

static void *become(void *arg)
{
	check(syscall(SYS_gettid) != pid);
	execv("/proc/self/exe", words);
	check(!"execv");
	return arg;
}

static void become_next(const char *what, int round)
{
	static char number[16], id[16];
	pthread_t thread;

	snprintf(number, sizeof(number), "%d", round);
	snprintf(id, sizeof(id), "%d", pid);
	words[0] = "exec-thread";
	words[1] = (char *)what;
	words[2] = number;
	words[3] = id;
	check(pthread_create(&thread, NULL, sleeper, NULL) == 0);
	check(pthread_create(&thread, NULL, become, NULL) == 0);
	for (;;)
		pause();
}

int main(int argc, char **argv)
{
	int round = argc > 2 ? atoi(argv[2]) : 0;

	pid = getpid();
	check(syscall(SYS_gettid) == pid);
	check(argc < 4 || atoi(argv[3]) == pid);
	if (argc > 1 && !strcmp(argv[1], "loop")) {
		if (round == 20)
			story_say("ready");
		if (access("gate", F_OK) < 0)
			become_next("loop", round + 1);
		return 0;
	}
	if (round > 0) {
		story_ready();
		check(getpid() == pid && syscall(SYS_gettid) == pid);
	}
	if (round < 3)
		become_next("rounds", round + 1);
	return 0;
}
