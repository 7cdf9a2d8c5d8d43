/* SPDX-License-Identifier: MIT */
/*
 * A call that goes on with the time that was left. The program's arguments
 * cannot be changed under it: they are its memory and its registers, which
 * stay as they are across a system call. So the thread makes the call in a
 * stub of ours, with a record on its stack that says how to come back.
 *
 * When the stub itself is interrupted the record is brought up to date and
 * the stub starts again: nothing grows.
 */
#ifndef PARK_ARCH_X86_64_RESUME_H
#define PARK_ARCH_X86_64_RESUME_H

#include <poll.h>
#include <stddef.h>
#include <stdint.h>

/* The stack pointer points to it while the stub runs. */
struct resume {
	uint64_t nr;
	uint64_t arguments[6]; /* as the program has them */
	uint64_t ip, sp;       /* where the program goes on */
	int64_t left[2];       /* a struct timespec */
	uint64_t started;      /* CLOCK_MONOTONIC ns */
	uint32_t how, index;   /* of calls.def */
	struct pollfd poll;    /* IN, OUT: waited for before the call */
	union {
		int64_t expired; /* its result when the time is over */
		uint64_t done;	 /* REST: bytes of the calls before */
	};
};
_Static_assert(sizeof(struct resume) <= 128, "it fits a siginfo_t");
_Static_assert(offsetof(struct resume, arguments) == 8, "resume.S");
_Static_assert(offsetof(struct resume, ip) == 56, "resume.S");
_Static_assert(offsetof(struct resume, sp) == 64, "resume.S");
_Static_assert(offsetof(struct resume, expired) == 112, "resume.S");
_Static_assert(offsetof(struct resume, done) == 112, "resume.S");

/* In resume.S. All registers are set when it starts. */
extern const char park_resume_call[];	/* the call */
extern const char park_resume_called[]; /* behind it */
extern const char park_resume_poll[];	/* ppoll(), then the call */
extern const char park_resume_polled[];
extern const char park_resume_rest[];	/* the call, and what was done before */
extern const char park_resume_rested[];

#endif
