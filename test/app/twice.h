/* SPDX-License-Identifier: MIT */
/*
 * For programs whose story is `survives`: what prepare() sets up, verify()
 * finds as it was, first after a checkpoint that let the program run on, then
 * after one that it was restarted from.
 */
#ifndef TWICE_H
#define TWICE_H

#include "story.h"

static inline int twice(void (*prepare)(void), void (*verify)(void))
{
	int round;

	for (round = 0; round < 2; round++) {
		prepare();
		story_ready();
		verify();
	}
	return 0;
}

#endif
