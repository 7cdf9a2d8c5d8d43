/* SPDX-License-Identifier: MIT */
/* A process that plays libckpt.so's side of wire/service.h, and may break off
 * at any step of it. */
#ifndef FAKE_PROCESS_H
#define FAKE_PROCESS_H

#include <sys/types.h>

#include "wire/phases.h"

struct fake {
	const char *group_dir;
	enum wire_phase dies;	/* SIGKILL for itself on entering it */
	enum wire_phase fails;	/* FAILED instead of the answer */
	enum wire_phase silent; /* no answer */
	int writer_dies;	/* before it has written anything */
	int writer_fails;	/* FAILED */
	int writer_lies;	/* says WRITTEN with a wrong hash */
	int writer_hangs;	/* until somebody kills it */
	int writes_itself;	/* no child: at the end, as a thread would */
	unsigned write_ms;	/* so long that takes */
	int late_slot;		/* in exec at first, for a moment */
	int spawns;		/* has a child without a slot */
	const char *file;	/* to be stored */
	int file_now;
	unsigned reborn; /* say REBORN with this life, at the start */
};

/* Forks it; returns when its slot is LIVE. It counts in a loop and ends by
 * itself when its parent does. */
pid_t fake_start(const struct fake *fake);

#endif
