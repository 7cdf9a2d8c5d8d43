/* SPDX-License-Identifier: MIT */
/* A signal of ours has arrived on this thread. The value's lower half is the
 * request, the upper one a record's ticket (0: the agent sent it). */
#ifndef POKE_H
#define POKE_H

#include <stdint.h>
#include <sys/ucontext.h>

void poke_take(uint64_t value, ucontext_t *context);

#endif
