/* SPDX-License-Identifier: MIT */
/*
 * Locks of several processes on files whose descriptions they share: posix
 * locks are each process's own, the others are the description's. One waits
 * for a lock meanwhile.
 */
#include "twice.h"

#include <sys/file.h>
#include <sys/wait.h>

static int file, whole, ofd, told[2], release[2];
static pid_t child, waiter;

static void lock_range(int fd, int call, short type, off_t start)
{
	struct flock lock = {.l_type = type, .l_start = start, .l_len = 10};

	check(fcntl(fd, call, &lock) == 0);
}

/* Who keeps us from having it: his pid, 0: nobody, -1: a description. */
static pid_t holder(off_t start, short type)
{
	struct flock lock = {.l_type = type, .l_start = start, .l_len = 1};

	check(fcntl(file, F_GETLK, &lock) == 0);
	return lock.l_type == F_UNLCK ? 0 : lock.l_pid;
}

static void be_child(void)
{
	char byte;

	lock_range(file, F_SETLK, F_WRLCK, 100);
	check(write(told[1], "c", 1) == 1);
	check(read(release[0], &byte, 1) == 1);
	check(holder(0, F_RDLCK) == getppid());
	check(holder(100, F_WRLCK) == 0); /* ours */
	check(holder(200, F_WRLCK) == -1);
	check(flock(whole, LOCK_EX) == 0); /* the description's: ours, too */
	_exit(5);
}

static void be_waiter(void)
{
	check(write(told[1], "w", 1) == 1);
	lock_range(file, F_SETLKW, F_WRLCK, 0);
	check(holder(0, F_RDLCK) == 0);
	_exit(6);
}

static void prepare(void)
{
	char bytes[2];

	file = open("locked", O_RDWR | O_CREAT, 0600);
	ofd = open("locked", O_RDWR);
	whole = open("whole", O_RDWR | O_CREAT, 0600);
	check(file >= 0 && ofd >= 0 && whole >= 0);
	check(pipe(told) == 0 && pipe(release) == 0);
	lock_range(file, F_SETLK, F_WRLCK, 0);
	lock_range(ofd, F_OFD_SETLK, F_RDLCK, 200);
	check(flock(whole, LOCK_EX) == 0);
	child = fork();
	if (child == 0)
		be_child();
	waiter = fork();
	if (waiter == 0)
		be_waiter();
	check(read(told[0], bytes, 1) == 1 && read(told[0], bytes, 1) == 1);
}

static void verify(void)
{
	int other = open("whole", O_RDWR), status;

	check(other >= 0 && flock(other, LOCK_SH | LOCK_NB) < 0);
	check(holder(100, F_RDLCK) == child);
	check(holder(0, F_WRLCK) == 0);
	check(write(release[1], "r", 1) == 1);
	check(waitpid(child, &status, 0) == child);
	check(WIFEXITED(status) && WEXITSTATUS(status) == 5);
	check(holder(100, F_RDLCK) == 0);
	check(flock(other, LOCK_SH | LOCK_NB) < 0);
	check(waitpid(waiter, &status, WNOHANG) == 0);
	lock_range(file, F_SETLK, F_UNLCK, 0);
	check(waitpid(waiter, &status, 0) == waiter);
	check(WIFEXITED(status) && WEXITSTATUS(status) == 6);
	close(other), close(file), close(ofd), close(whole);
	close(told[0]), close(told[1]), close(release[0]), close(release[1]);
}

int main(void)
{
	alarm(60);
	return twice(prepare, verify);
}
