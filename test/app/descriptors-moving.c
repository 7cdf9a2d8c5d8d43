/* SPDX-License-Identifier: MIT */
/*
 * Threads that open, duplicate, mark, move and close descriptors without
 * pause: wherever they are stopped, the table is the one of that instant.
 */
#include "story.h"

#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define THREADS 8

static volatile int finish;
static char folder[4096];

static int open_own(long which)
{
	char path[4200], text[32];
	int fd;

	snprintf(path, sizeof(path), "%s/moving-%ld", folder, which);
	fd = open(path, O_RDWR | O_CREAT | (which % 2 ? O_CLOEXEC : 0), 0600);
	check(fd >= 0);
	snprintf(text, sizeof(text), "file %ld", which);
	check(pwrite(fd, text, strlen(text), 0) == (ssize_t)strlen(text));
	return fd;
}

static void expect_own(int fd, long which)
{
	char text[32] = "", want[32];

	snprintf(want, sizeof(want), "file %ld", which);
	check(pread(fd, text, sizeof(text) - 1, 0) == (ssize_t)strlen(want));
	check(!strcmp(text, want));
}

static void *moving(void *arg)
{
	long which = (long)arg;
	int high = 200 + (int)which, two[2];
	char byte;

	while (!finish) {
		int fd = open_own(which), copy;

		expect_own(fd, which);
		check(fcntl(fd, F_GETFD) == (which % 2 ? FD_CLOEXEC : 0));
		check(lseek(fd, which, SEEK_SET) == which);
		copy = dup(fd);
		check(copy >= 0);
		check(fcntl(copy, F_SETFD, FD_CLOEXEC) == 0);
		check(close(fd) == 0);
		check(dup2(copy, high) == high);
		check(lseek(high, 0, SEEK_CUR) == which);
		check(fcntl(copy, F_GETFD) == FD_CLOEXEC);
		check(fcntl(high, F_GETFD) == 0);
		check(close(copy) == 0);
		expect_own(high, which);
		check(which % 2 ? pipe(two) == 0
				: socketpair(AF_UNIX, SOCK_STREAM, 0, two) == 0);
		check(write(two[1], "x", 1) == 1);
		check(dup2(two[0], high) == high);
		check(close(two[0]) == 0);
		check(read(high, &byte, 1) == 1 && byte == 'x');
		check(close(two[1]) == 0);
		check(read(high, &byte, 1) == 0);
		check(close(high) == 0);
	}
	return NULL;
}

int main(void)
{
	pthread_t threads[THREADS];

	story_path(folder, sizeof(folder), "moving");
	check(mkdir(folder, 0700) == 0);
	for (long i = 0; i < THREADS; i++)
		check(pthread_create(&threads[i], NULL, moving, (void *)i) ==
		      0);
	for (int life = 0; life < 3; life++)
		story_ready();
	finish = 1;
	for (int i = 0; i < THREADS; i++)
		check(pthread_join(threads[i], NULL) == 0);
	return 0;
}
