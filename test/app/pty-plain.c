/* SPDX-License-Identifier: MIT */
/*
 * Pseudo-terminals without a session: one whose other side only a child has,
 * which answers through it, and one whose other side nobody has opened yet.
 */
#include "twice.h"

#include <poll.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>

static int master, fresh;
static pid_t child;

static void prepare(void)
{
	struct termios raw;
	char text[8];
	ssize_t n;
	int slave;

	check(openpty(&master, &slave, NULL, NULL, NULL) == 0);
	check(tcgetattr(slave, &raw) == 0);
	cfmakeraw(&raw);
	check(tcsetattr(slave, TCSANOW, &raw) == 0);
	child = fork();
	check(child >= 0);
	if (child == 0) {
		close(master);
		if (write(slave, "hello", 5) != 5)
			_exit(1);
		while ((n = read(slave, text, sizeof(text))) > 0 &&
		       text[0] != 'q')
			if (write(slave, text, (size_t)n) != n)
				_exit(2);
		_exit(n > 0 ? 0 : 3);
	}
	close(slave);
	while (poll(&(struct pollfd){master, POLLIN, 0}, 1, -1) != 1)
		;
	fresh = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK);
	check(fresh >= 0 && grantpt(fresh) == 0 && unlockpt(fresh) == 0);
}

static void verify(void)
{
	char text[8];
	int status;

	check(read(master, text, 8) == 5 && !memcmp(text, "hello", 5));
	check(write(master, "x", 1) == 1);
	check(read(master, text, 8) == 1 && text[0] == 'x');
	check(write(master, "q", 1) == 1);
	check(waitpid(child, &status, 0) == child && status == 0);
	close(master);
	/* Not closed by anybody. */
	check(read(fresh, text, 8) == -1 && errno == EAGAIN);
	close(fresh);
}

int main(void)
{
	return twice(prepare, verify);
}
