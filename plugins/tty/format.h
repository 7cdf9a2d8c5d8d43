/* SPDX-License-Identifier: MIT */
#ifndef PLUGINS_TTY_FORMAT_H
#define PLUGINS_TTY_FORMAT_H

#include <stdint.h>

#define TTY_VERSION 1

struct tty_record {
	uint64_t rdev;
	int32_t standard; /* 0, 1, 2: stands at that number; -1: at none */
	int32_t like;	  /* the standard stream that is the same terminal, -1 */
	uint32_t controlling; /* 1: the process's controlling terminal */
	uint32_t foreground;  /* 1: its group was in the foreground */
	uint32_t termios_length;
	unsigned char termios[60]; /* the kernel's struct termios2 */
	uint16_t rows, columns, xpixel, ypixel;
	uint32_t path_length; /* the name follows, without NUL */
	uint32_t pad;
};

#endif
