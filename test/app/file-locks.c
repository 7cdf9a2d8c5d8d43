/* SPDX-License-Identifier: MIT */
/* Locks of every kind are held still: another description does not get them. */
#include "twice.h"

#include <sys/file.h>

#define MANY 3000

static int posix, ofd, whole, many;
static char longest[256]; /* a name as long as can be */

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
	memset(longest, 'x', sizeof(longest) - 1);
	many = open(longest, O_RDWR | O_CREAT, 0600);
	check(many >= 0 && write(many, "content", 7) == 7);
	lock = (struct flock){.l_type = F_WRLCK, .l_len = 1};
	for (; lock.l_start < 2 * MANY; lock.l_start += 2)
		check(fcntl(many, F_OFD_SETLK, &lock) == 0);
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
	close(other);
	other = open(longest, O_RDWR);
	lock = (struct flock){.l_type = F_WRLCK, .l_start = 2 * MANY - 1, .l_len = 2};
	check(other >= 0 && fcntl(other, F_OFD_SETLK, &lock) == 0);
	lock.l_start -= 2;
	check(fcntl(other, F_OFD_SETLK, &lock) < 0 && errno == EAGAIN);
	lock = (struct flock){.l_type = F_WRLCK, .l_len = 1};
	check(fcntl(other, F_OFD_SETLK, &lock) < 0 && errno == EAGAIN);
	close(many), close(other), close(posix), close(ofd), close(whole);
}

int main(void)
{
	return twice(prepare, verify);
}
