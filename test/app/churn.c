/* SPDX-License-Identifier: MIT */
/*
 * Children are made and end all the time, in each of the ways there are: each
 * says its number once through a pipe and ends with a status of its own. None
 * is lost, none comes twice. Until SIGUSR1.
 */
#include "tree.h"

#include <spawn.h>

extern char **environ;
static const char *self;
static int ends[2];

static void say_number(int fd, unsigned number)
{
	check(write(fd, &number, sizeof(number)) == sizeof(number));
}

static int status_of(unsigned number)
{
	return (int)(number * 7 % 100);
}

/* As the program that was executed: "say FD NUMBER". */
static int said(char **argv)
{
	unsigned number = (unsigned)atoi(argv[3]);

	say_number(atoi(argv[2]), number);
	return status_of(number);
}

static pid_t make(unsigned number)
{
	char to[16], text[16];
	char *argv[] = {(char *)self, "say", to, text, NULL};
	pid_t pid;

	snprintf(to, sizeof(to), "%d", ends[1]);
	snprintf(text, sizeof(text), "%u", number);
	switch (number % 4) {
	case 0:
		pid = fork();
		if (pid == 0) {
			say_number(ends[1], number);
			_exit(status_of(number));
		}
		return pid;
	case 1:
		pid = fork();
		if (pid == 0) {
			execv(self, argv);
			_exit(127);
		}
		return pid;
	case 2:
		pid = vfork();
		if (pid == 0) {
			execv(self, argv);
			_exit(127);
		}
		return pid;
	default:
		errno = posix_spawn(&pid, self, NULL, NULL, argv, environ);
		return errno ? -1 : pid;
	}
}

/* By a shell: system(), and what popen() gives us. */
static void by_shell(unsigned number)
{
	char command[4200], text[16] = "";
	int status = status_of(number);
	FILE *from;

	snprintf(command, sizeof(command), "'%s' say %d %u", self, ends[1],
		 number);
	check(system(command) == status << 8);
	snprintf(command, sizeof(command), "echo %u | cat; exit %d", number,
		 status);
	from = popen(command, "r");
	check(from != NULL);
	check(fgets(text, sizeof(text), from) != NULL);
	check((unsigned)atoi(text) == number);
	check(fgets(text, sizeof(text), from) == NULL);
	check(pclose(from) == status << 8);
}

static void expect_number(unsigned number)
{
	unsigned got;

	check(read(ends[0], &got, sizeof(got)) == sizeof(got));
	if (got != number)
		dprintf(2, "heard %u instead of %u\n", got, number);
	check(got == number);
}

int main(int argc, char **argv)
{
	sigset_t pending;
	unsigned number;

	if (argc > 1)
		return said(argv);
	self = realpath("/proc/self/exe", NULL);
	tree_start();
	check(self && pipe(ends) == 0);
	for (number = 0;; number++) {
		if (number % 9 == 8) {
			by_shell(number);
		} else {
			pid_t pid = make(number);

			check(pid > 0);
			expect_status(pid, status_of(number) << 8);
		}
		expect_number(number);
		if (number == 20)
			story_say("ready");
		check(sigpending(&pending) == 0);
		if (sigismember(&pending, SIGUSR1))
			break;
	}
	check(waitpid(-1, NULL, 0) < 0 && errno == ECHILD);
	check(fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0);
	check(read(ends[0], &number, 1) < 0 && errno == EAGAIN);
	return 0;
}
