/* SPDX-License-Identifier: MIT */
/*
 * Nanoseconds of calls that a preload library could make slower. One line a
 * call: name, ns. The driver runs it natively and under ckpt_launch in turns.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;
static int zero, null, ends[2];
static char buffer[64];

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void do_malloc(void)
{
	void *volatile p = malloc(100);

	free(p);
}

static void do_open(void)
{
	close(open("/dev/null", O_RDONLY | O_CLOEXEC));
}

static void do_read(void)
{
	if (read(zero, buffer, sizeof(buffer)) < 0)
		abort();
}

static void do_write(void)
{
	if (write(null, buffer, sizeof(buffer)) < 0)
		abort();
}

static void do_pipe(void)
{
	if (write(ends[1], buffer, 1) < 0 || read(ends[0], buffer, 1) < 0)
		abort();
}

static void do_poll(void)
{
	struct pollfd p = {.fd = ends[0], .events = POLLIN};

	poll(&p, 1, 0);
}

static void do_clock(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
}

static void *nothing(void *arg)
{
	return arg;
}

static void do_thread(void)
{
	pthread_t t;

	if (pthread_create(&t, NULL, nothing, NULL))
		abort();
	pthread_join(t, NULL);
}

static void do_fork(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	waitpid(pid, NULL, 0);
}

static void do_exec(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		execl("/bin/true", "true", (char *)NULL);
		_exit(127);
	}
	waitpid(pid, NULL, 0);
}

static void do_spawn(void)
{
	char *argv[] = {"true", NULL};
	pid_t pid;

	if (posix_spawn(&pid, "/bin/true", NULL, NULL, argv, environ))
		abort();
	waitpid(pid, NULL, 0);
}

static void do_system(void)
{
	if (system("exit 0") != 0)
		abort();
}

static const struct {
	const char *name;
	void (*call)(void);
	int times;
} calls[] = {
	{"malloc+free", do_malloc, 5000000}, {"open+close", do_open, 300000},
	{"read", do_read, 1000000},	     {"write", do_write, 1000000},
	{"pipe", do_pipe, 500000},	     {"poll", do_poll, 1000000},
	{"clock_gettime", do_clock, 5000000}, {"pthread_create+join", do_thread, 10000},
	{"fork+exit+wait", do_fork, 1000},   {"fork+exec+wait", do_exec, 300},
	{"posix_spawn+wait", do_spawn, 300}, {"system", do_system, 300},
};

int main(void)
{
	zero = open("/dev/zero", O_RDONLY);
	null = open("/dev/null", O_WRONLY);
	if (pipe(ends))
		return 1;
	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++) {
		uint64_t best = UINT64_MAX;

		for (int turn = 0; turn < 5; turn++) {
			uint64_t start = now(), took;

			for (int n = 0; n < calls[i].times / 5; n++)
				calls[i].call();
			took = now() - start;
			best = took < best ? took : best;
		}
		printf("%s %.2f\n", calls[i].name,
		       (double)best / (calls[i].times / 5));
	}
	return 0;
}
