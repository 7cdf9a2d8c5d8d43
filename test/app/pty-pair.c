/* SPDX-License-Identifier: MIT */
/*
 * Both sides of pseudo-terminals in one process: number, size, settings, lines
 * and the half line that wait to be read, ends of file among them, output that
 * the master has not read, stopped output.
 */
#include "twice.h"

#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>

static int master[3], slave[3], number[3];
static int again[2], flags[3]; /* slave[1], close-on-exec only the first time */
static int share; /* with a child that has all of it, too */
static pid_t child;

static int pty_number(int fd)
{
	int n = -1;

	check(ioctl(fd, TIOCGPTN, &n) == 0);
	return n;
}

static int ready(int fd, short events)
{
	struct pollfd p = {.fd = fd, .events = events};

	check(poll(&p, 1, 0) >= 0);
	return p.revents;
}

static void prepare(void)
{
	struct winsize size = {.ws_row = 33, .ws_col = 111, .ws_xpixel = 7};
	struct termios t;
	int i, one = 1;

	for (i = 0; i < 3; i++) {
		check(openpty(&master[i], &slave[i], NULL, NULL, &size) == 0);
		number[i] = pty_number(master[i]);
		check(fcntl(slave[i], F_SETFL, O_NONBLOCK) == 0);
		check(fcntl(master[i], F_SETFL, O_NONBLOCK) == 0);
		flags[i] = fcntl(slave[i], F_GETFL);
	}
	/* 0: canonical, echoing, every sort of line. */
	check(tcgetattr(slave[0], &t) == 0);
	t.c_cc[VERASE] = '#';
	check(tcsetattr(slave[0], TCSANOW, &t) == 0);
	check(write(master[0], "one\ntwo\004\004thr##half", 18) == 18);
	check(write(slave[0], "output\n", 7) == 7);
	/* 1: raw, stopped by ^S, with output behind. */
	check(tcgetattr(slave[1], &t) == 0);
	cfmakeraw(&t);
	t.c_iflag |= IXON;
	check(tcsetattr(slave[1], TCSANOW, &t) == 0);
	check(write(slave[1], "before", 6) == 6);
	check(write(master[1], "a\0b\r\n\377", 6) == 6);
	check(write(master[1], "\023", 1) == 1);
	while (ready(slave[1], POLLOUT) & POLLOUT)
		;
	again[0] = ioctl(master[1], TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	check(again[0] >= 0);
	again[1] = dup(again[0]);
	check(again[1] >= 0);
	/* 2: packet mode, locked, the other side closed. */
	check(ioctl(master[2], TIOCPKT, &one) == 0);
	check(tcflow(slave[2], TCOOFF) == 0 && tcflow(slave[2], TCOON) == 0);
	check(write(slave[2], "packet", 6) == 6);
	check(ioctl(master[2], TIOCSPTLCK, &one) == 0);
	check(close(slave[2]) == 0);
	/* What is on its way arrives. */
	for (i = 0; i < 3; i++)
		ready(master[i], POLLIN);
	ready(slave[0], POLLIN);
	ready(slave[1], POLLIN);
	if (!share)
		return;
	child = fork();
	check(child >= 0);
	while (child == 0)
		pause();
}

static void expect(int fd, const char *what, ssize_t length)
{
	char buffer[256];
	ssize_t n = read(fd, buffer, sizeof(buffer));

	if (n != length || (n > 0 && memcmp(buffer, what, (size_t)n)))
		dprintf(2, "read %zd: '%.*s', expected %zd: '%s'\n", n,
			n > 0 ? (int)n : 0, buffer, length, what);
	check(n == length);
	check(n <= 0 || memcmp(buffer, what, (size_t)n) == 0);
}

static void verify(void)
{
	struct winsize size;
	struct termios t;
	char name[64];
	int i, value;

	if (share) {
		check(kill(child, SIGKILL) == 0);
		check(waitpid(child, NULL, 0) == child);
	}
	for (i = 0; i < 3; i++)
		check(pty_number(master[i]) == number[i]);
	snprintf(name, sizeof(name), "/dev/pts/%d", number[0]);
	check(strcmp(ttyname(slave[0]), name) == 0);
	check(ioctl(slave[0], TIOCGWINSZ, &size) == 0);
	check(size.ws_row == 33 && size.ws_col == 111 && size.ws_xpixel == 7);
	check(tcgetattr(slave[0], &t) == 0);
	check(t.c_cc[VERASE] == '#' && (t.c_lflag & ICANON));

	expect(slave[0], "one\n", 4);
	expect(slave[0], "two", 3);
	expect(slave[0], "", 0);
	expect(slave[0], "", -1);
	check(write(master[0], "#x\n", 3) == 3);
	check(ready(slave[0], POLLIN) & POLLIN);
	expect(slave[0], "thalx\n", 6);

	check(fcntl(slave[0], F_GETFL) == flags[0]);
	check(fcntl(slave[1], F_GETFL) == flags[1]);
	check(fcntl(again[0], F_GETFD) == FD_CLOEXEC);
	check(fcntl(again[1], F_GETFD) == 0);
	check(close(again[0]) == 0 && close(again[1]) == 0);
	check(!(ready(slave[1], POLLOUT) & POLLOUT));
	expect(slave[1], "a\0b\r\n\377", 6);
	expect(master[1], "before", 6);
	check(write(master[1], "\021", 1) == 1);
	ready(slave[1], POLLIN);
	check(ready(slave[1], POLLOUT) & POLLOUT);

	check(ioctl(master[2], 0x80045438 /* TIOCGPKT */, &value) == 0 &&
	      value == 1);
	check(ioctl(master[2], 0x80045439 /* TIOCGPTLCK */, &value) == 0 &&
	      value == 1);
	check(ready(master[2], POLLIN) & POLLHUP);
	expect(master[2], "\010", 1); /* TIOCPKT_START */
	expect(master[2], "\0packet", 7);
	for (i = 0; i < 3; i++)
		close(master[i]);
	expect(slave[0], "", 0); /* hung up */
	close(slave[0]);
	close(slave[1]);
}

int main(int argc, char **argv)
{
	(void)argv;
	share = argc > 1;
	return twice(prepare, verify);
}
