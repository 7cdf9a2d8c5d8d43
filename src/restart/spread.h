/* SPDX-License-Identifier: MIT */
/*
 * A job of several host groups: where each goes, and starting the others.
 * Every group is restarted by a ckpt_restart of its own (--group N), here or
 * by ssh; they meet at the coordinator, which lets all of them run at once.
 * The first group is the root's: its standard streams, its terminal and its
 * exit status are those of the ckpt_restart that the user started.
 */
#ifndef SPREAD_H
#define SPREAD_H

#include "restart/job.h"

/* Decides, and takes the group that this ckpt_restart restarts itself: job->
 * group, -1 when the root's goes elsewhere. By fail(). */
void spread_decide(struct job *job);
/* After coordinator_attach(): starts all others. By fail(). */
void spread_start(struct job *job);
/* A descriptor to poll (-1: none): a group has failed, which spread_ready()
 * tells by fail(). */
int spread_fd(void);
void spread_ready(void);
/* The root is elsewhere: wait for its end. */
_Noreturn void spread_lead(void);

#endif
