/* SPDX-License-Identifier: MIT */
/*
 * A terminal emulator and its session: the parent has the master, the child is
 * the session's leader, its child works in the foreground, another one in the
 * background. All of it is as it was: the controlling terminal by its name
 * and as /dev/tty, who is in the foreground, whom ^C reaches.
 */
#include "twice.h"

#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>

static int master, number;
static pid_t leader;
static char name[64];

/* It may come before the line after the one that was answered is read. */
static void on_signal(int signal)
{
	(void)signal;
	if (write(1, "fore int\n", 9) < 0)
		_exit(9);
}

/* Answers each line with its name. */
static _Noreturn void answer(const char *who, int fd)
{
	struct sigaction action = {.sa_handler = on_signal,
				   .sa_flags = SA_RESTART};
	char line[64], text[160];

	sigaction(SIGINT, &action, NULL);
	for (;;) {
		ssize_t n = read(fd, line, sizeof(line) - 1);

		if (n == 0)
			_exit(0);
		if (n < 0)
			_exit(3);
		line[n] = 0;
		snprintf(text, sizeof(text), "%s %s %d %d %s", who, ttyname(0),
			 tcgetpgrp(fd) == getpgrp(), getsid(0) == tcgetsid(fd),
			 line);
		if (write(1, text, strlen(text)) < 0)
			_exit(4);
	}
}

static _Noreturn void session(void)
{
	pid_t foreground, background;
	int tty = open("/dev/tty", O_RDWR);
	int status;

	signal(SIGTTOU, SIG_IGN);
	if (tty < 0)
		_exit(5);
	background = fork();
	if (background == 0) {
		setpgid(0, 0);
		pause();
		_exit(6);
	}
	foreground = fork();
	if (foreground == 0) {
		setpgid(0, 0);
		tcsetpgrp(0, getpid());
		answer("fore", tty);
	}
	setpgid(foreground, foreground);
	setpgid(background, background);
	waitpid(foreground, &status, 0);
	kill(background, SIGKILL);
	waitpid(background, NULL, 0);
	tcsetpgrp(tty, getpgrp());
	if (write(tty, "leader\n", 7) < 0)
		_exit(7);
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 8);
}

static void expect(const char *what)
{
	char got[512];
	size_t length = 0;

	for (;;) {
		ssize_t n;

		got[length] = 0;
		if (strstr(got, what))
			return;
		n = read(master, got + length, sizeof(got) - 1 - length);
		if (n <= 0)
			dprintf(2, "waited for '%s', got '%s'\n", what, got);
		check(n > 0);
		length += (size_t)n;
	}
}

static void ask(const char *line)
{
	char answer[128];

	check(write(master, line, strlen(line)) == (ssize_t)strlen(line));
	snprintf(answer, sizeof(answer), "fore %s 1 1 %.*s\r\n", name,
		 (int)strlen(line) - 1, line);
	expect(answer);
}

static void prepare(void)
{
	struct winsize size = {.ws_row = 20, .ws_col = 70};

	leader = forkpty(&master, name, NULL, &size);
	check(leader >= 0);
	if (leader == 0)
		session();
	check(ioctl(master, TIOCGPTN, &number) == 0);
	ask("first\n");
	/* What nobody reads before the checkpoint. */
	check(write(master, "half", 4) == 4);
	expect("half");
}

static void verify(void)
{
	struct winsize size;
	int status, now;

	check(ioctl(master, TIOCGPTN, &now) == 0 && now == number);
	check(ioctl(master, TIOCGWINSZ, &size) == 0 && size.ws_col == 70);
	check(write(master, "\n", 1) == 1);
	expect("1 1 half\r\n");
	check(write(master, "\003", 1) == 1);
	expect("fore int\r\n");
	ask("second\n");
	check(write(master, "\004", 1) == 1);
	expect("leader\r\n");
	check(waitpid(leader, &status, 0) == leader && status == 0);
	close(master);
}

int main(void)
{
	return twice(prepare, verify);
}
