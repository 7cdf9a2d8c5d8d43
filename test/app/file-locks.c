/* SPDX-License-Identifier: MIT */
/* Locks of every kind are held still: another description does not get them. */
#include "twice.h"

#include <sys/file.h>

static int posix, ofd, whole;

static void prepare(void)
{
	struct flock lock = {.l_type = F_WRLCK, .l_start = 5, .l_len = 10};

	posix = open("locked", O_RDWR | O_CREAT, 0600);
	ofd = open("locked", O_RDWR);
	whole = open("whole", O_RDWR | O_CREAT, 0600);
	check(fcntl(posix, F_SETLK, &lock) == 0);
	lock = (struct flock){.l_type = F_RDLCK, .l_start = 100};
	check(fcntl(ofd, F_OFD_SETLK, &lock) == 0);
	check(flock(whole, LOCK_EX) == 0);
}

static void verify(void)
{
	struct flock lock = {.l_type = F_RDLCK, .l_start = 14, .l_len = 1};
	int other = open("whole", O_RDWR);

	check(flock(other, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK);
	check(fcntl(ofd, F_OFD_GETLK, &lock) == 0);
	check(lock.l_type == F_WRLCK && lock.l_start == 5 && lock.l_len == 10);
	check(lock.l_pid == getpid());
	lock = (struct flock){.l_type = F_WRLCK, .l_start = 200, .l_len = 1};
	check(fcntl(posix, F_GETLK, &lock) == 0 && lock.l_type == F_RDLCK);
	close(other), close(posix), close(ofd), close(whole);
}

int main(void)
{
	return twice(prepare, verify);
}
