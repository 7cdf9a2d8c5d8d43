/* SPDX-License-Identifier: MIT */
#ifndef PLUGINS_TTY_FORMAT_H
#define PLUGINS_TTY_FORMAT_H

#include <stdint.h>

#define TTY_KIND 67

enum tty_flags {
	TTY_MASTER = 1,	      /* of a pseudo-terminal */
	TTY_DEV_TTY = 2,      /* opened as /dev/tty */
	TTY_HUNG_UP = 4,      /* its other side has gone */
	TTY_EXCLUSIVE = 8,    /* TIOCEXCL, of this side */
	TTY_CONTROLLING = 16, /* the process's controlling terminal */
	TTY_FOREGROUND = 32,  /* its group was in the foreground */
	/* Of a master: */
	TTY_LOCKED = 64,       /* the other side cannot be opened */
	TTY_CLOSED = 128,      /* the other side was open, and is not */
	TTY_PACKET = 256,      /* TIOCPKT */
	TTY_STOPPED = 512,     /* output stopped by ^S */
	TTY_STOPPED_OFF = 1024, /* output stopped by tcflow() */
	TTY_UNSEEN = 2048,     /* unread content could not be looked at */
	TTY_ELSEWHERE = 4096,  /* another process saves the pair's state */
};

/* Of one side of a terminal. A master's holds what both sides have in common,
 * the slave's settings and what waits in both directions. */
struct tty_record {
	uint64_t dev, ino;    /* of the slave's name; 0: not known */
	uint64_t rdev;	      /* the slave's, also of /dev/tty and masters */
	uint32_t flags;	      /* enum tty_flags */
	int32_t standard;     /* 0, 1, 2: stands at that number; -1: at none */
	int32_t like;	      /* the standard stream that is the same, -1 */
	int32_t number;	      /* of a master */
	int32_t session;      /* that it controls, 0: none or not known */
	int32_t group;	      /* in the foreground, 0: not known */
	uint32_t packet_status; /* not yet read in packet mode */
	uint16_t rows, columns, xpixel, ypixel;
	uint32_t termios_length;
	unsigned char termios[60]; /* the kernel's struct termios2 */
	/* Behind it, in this order: */
	uint32_t path_length; /* the name, without NUL */
	uint32_t output;      /* bytes that the master has not read yet */
	uint32_t input;	      /* bytes that the slave has not read yet */
	uint32_t marks;	      /* uint32_t: where in them an end of file is */
	uint32_t pad;
};
_Static_assert(sizeof(struct tty_record) == 144, "a terminal's record");

#endif
