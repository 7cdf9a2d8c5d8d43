/* SPDX-License-Identifier: MIT */
/*
 * A program at a terminal: it is in the foreground, reads a line, and is
 * interrupted by ^C, in each life at the terminal of that life.
 */
#include "story.h"

#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>

static void interrupted(int signal)
{
	(void)signal;
	if (write(1, "interrupted\n", 12) < 0)
		_exit(1);
	_exit(42);
}

static void look(void)
{
	struct termios t;

	check(isatty(0) && isatty(1) && isatty(2));
	check(tcgetpgrp(0) == getpgrp());
	check(tcgetattr(0, &t) == 0 && (t.c_lflag & ICANON));
}

int main(void)
{
	char line[64];

	signal(SIGINT, interrupted);
	look();
	story_ready();
	look();
	story_say("listening");
	check(fgets(line, sizeof(line), stdin) != NULL);
	printf("got %s", line);
	fflush(stdout);
	check(fgets(line, sizeof(line), stdin) != NULL);
	return 0;
}
