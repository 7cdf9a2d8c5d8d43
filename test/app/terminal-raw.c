/* SPDX-License-Identifier: MIT */
/*
 * A program that has set its terminal to raw mode, like an editor: the new
 * terminal is in that mode too, and as it has another size, the program is
 * told.
 */
#include "story.h"

#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>

static volatile sig_atomic_t told;

static void window(int number)
{
	(void)number;
	told = 1;
}

int main(void)
{
	struct sigaction action = {.sa_handler = window, .sa_flags = SA_RESTART};
	struct termios raw, now;
	struct winsize size;
	int again = open("/dev/tty", O_RDWR);

	check(isatty(0) && again >= 0);
	sigaction(SIGWINCH, &action, NULL);
	check(tcgetattr(0, &raw) == 0);
	cfmakeraw(&raw);
	check(tcsetattr(0, TCSANOW, &raw) == 0);
	check(tcgetattr(0, &raw) == 0);
	story_ready();
	check(tcgetattr(again, &now) == 0);
	check(now.c_lflag == raw.c_lflag && now.c_iflag == raw.c_iflag);
	check(now.c_oflag == raw.c_oflag);
	check(ioctl(0, TIOCGWINSZ, &size) == 0);
	check(size.ws_row == 11 && size.ws_col == 44);
	check(told);
	check(write(again, "seen\r\n", 6) == 6);
	return 0;
}
