/* SPDX-License-Identifier: MIT */
/*
 * posix_spawn() and vfork() under way for long: the child opens a FIFO that
 * nobody writes to yet, on its parent's memory. While another thread of the
 * parent goes on.
 *
 * BUILD: -pthread
 */
#include "tree.h"

#include <pthread.h>
#include <spawn.h>
#include <sys/stat.h>

extern char **environ;

static void *spawn(void *arg)
{
	char *argv[] = {"sh", "-c", "read line && [ \"$line\" = spawned ]", NULL};
	posix_spawn_file_actions_t actions;
	pid_t pid;

	check(posix_spawn_file_actions_init(&actions) == 0);
	check(posix_spawn_file_actions_addopen(&actions, 1, "begun", O_WRONLY,
					       0) == 0);
	check(posix_spawn_file_actions_addopen(&actions, 0, "slow", O_RDONLY,
					       0) == 0);
	check(posix_spawn(&pid, "/bin/sh", &actions, NULL, argv, environ) == 0);
	expect_status(pid, 0);
	return arg;
}

static void *make(void *arg)
{
	pid_t pid = vfork();

	if (pid == 0) {
		dup2(open("begun", O_WRONLY), 1);
		dup2(open("slow", O_RDONLY), 0);
		execl("/bin/sh", "sh", "-c", "read line && [ \"$line\" = made ]",
		      NULL);
		_exit(127);
	}
	expect_status(pid, 0);
	return arg;
}

static pthread_t thread;

static void begin(void *(*how)(void *))
{
	check(pthread_create(&thread, NULL, how, NULL) == 0);
	check(close(open("begun", O_RDONLY)) == 0);
}

static void go_on(const char *word)
{
	int fd = open("slow", O_WRONLY);

	check(fd >= 0);
	check(write(fd, word, strlen(word)) == (ssize_t)strlen(word));
	close(fd);
	check(pthread_join(thread, NULL) == 0);
}

int main(void)
{
	check(mkfifo("slow", 0600) == 0 && mkfifo("begun", 0600) == 0);
	begin(spawn);
	story_ready();
	go_on("spawned\n");
	story_ready();
	begin(make);
	story_ready();
	go_on("made\n");
	story_ready();
	return 0;
}
