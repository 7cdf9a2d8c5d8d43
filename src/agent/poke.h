/* SPDX-License-Identifier: MIT */
/* The signal that wakes the library in a process. */
#ifndef AGENT_POKE_H
#define AGENT_POKE_H

#include <stdint.h>

#include "agent/members.h"

enum poke_result {
	POKE_SENT = 0,
	POKE_LATER = 1,	  /* it cannot take one now (exec, traced, coming) */
	POKE_STOPPED = 2, /* it could, if it were woken */
};

/* Pokes one of its threads, another one each try; tells it in its slot which
 * and since when that sleeps. wake: one that is stopped by a signal is continued
 * with the poke waiting for it. enum poke_result or -errno. */
int poke(struct member *m, uint32_t request, unsigned attempt, int wake);

#endif
