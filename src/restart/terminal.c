/* SPDX-License-Identifier: MIT */
/* See terminal.h. */
#include "restart/terminal.h"

#include <termios.h>
#include <unistd.h>

static struct {
	int tty; /* -1: there is none, or its settings are unknown */
	struct termios settings;
} terminal = {.tty = -1};

void terminal_keep(int tty)
{
	if (tty >= 0 && tcgetattr(tty, &terminal.settings) == 0)
		terminal.tty = tty;
}

void terminal_put_back(void)
{
	/* In the background they are somebody else's. */
	if (terminal.tty >= 0 && tcgetpgrp(terminal.tty) == getpgrp())
		tcsetattr(terminal.tty, TCSADRAIN, &terminal.settings);
}
