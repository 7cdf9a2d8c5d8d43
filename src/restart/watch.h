/* SPDX-License-Identifier: MIT */
/*
 * ckpt_restart while the program runs: it stands where the program's parent
 * expects it, with its signals, its stops and its end.
 */
#ifndef WATCH_H
#define WATCH_H

#include "restart/capsule.h"
#include "restart/job.h"

/* Where the root process belongs: own session, own group, the terminal. */
void watch_decide_place(struct job *job);
/* From here on signals are kept for watch_start() and watch_run(). */
void watch_block_signals(void);
/* Waits until the program runs; by fail() if it does not come to that. */
void watch_start(struct capsule *c, struct job *job);
/* Waits for its end, and ends likewise. */
_Noreturn void watch_run(void);

#endif
