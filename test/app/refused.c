/* SPDX-License-Identifier: MIT */
/* Has something that cannot be saved, by name; goes on when that is gone. */
#include "story.h"

#include <linux/aio_abi.h>
#include <linux/io_uring.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/syscall.h>

static volatile int unshared, finish;

static void *own_table(void *arg)
{
	check(unshare(CLONE_FILES) == 0);
	unshared = 1;
	while (!finish)
		sched_yield();
	return arg;
}

static int io_uring_setup(long entries, struct io_uring_params *params)
{
	long ret = SYS_io_uring_setup;

	__asm__ volatile("syscall"
			 : "+a"(ret)
			 : "D"(entries), "S"(params)
			 : "rcx", "r11", "memory");
	return (int)ret;
}

static int skip(const char *what)
{
	perror(what);
	return 77;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	aio_context_t aio = 0;
	pthread_t thread;
	int fd = -1;

	if (!strcmp(what, "io_uring")) {
		struct io_uring_params params = {0};

		check(syscall(SYS_io_uring_setup, 4, &params) < 0);
		check(errno == ENOSYS); /* but nobody can hinder this: */
		fd = io_uring_setup(4, &params);
		if (fd < 0)
			return skip(what);
	} else if (!strcmp(what, "userfaultfd")) {
		fd = (int)syscall(SYS_userfaultfd, 1 /* user mode only */);
		if (fd < 0)
			return skip(what);
	} else if (!strcmp(what, "aio")) {
		if (syscall(SYS_io_setup, 8, &aio))
			return skip(what);
	} else if (!strcmp(what, "own-table")) {
		check(pthread_create(&thread, NULL, own_table, NULL) == 0);
		while (!unshared)
			sched_yield();
	} else if (!strcmp(what, "device")) {
		fd = open("/dev/mem", O_RDONLY);
		if (fd < 0)
			return skip(what);
	}
	story_ready();
	if (fd >= 0)
		close(fd);
	if (aio)
		syscall(SYS_io_destroy, aio);
	if (unshared) {
		finish = 1;
		pthread_join(thread, NULL);
	}
	story_ready();
	return 0;
}
