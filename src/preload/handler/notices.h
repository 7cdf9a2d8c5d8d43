/* SPDX-License-Identifier: MIT */
/*
 * mq_notify(): the kernel ends a registration when the process closes any
 * descriptor of that queue, and a checkpoint closes the service thread's. So
 * they are taken back before it starts, and made anew by the thread that was
 * poked when it leaves, in this life or the next.
 */
#ifndef NOTICES_H
#define NOTICES_H

#include <signal.h>

/* Live: a call of mq_notify() that has succeeded. */
void notices_note(int queue, const struct sigevent *event);

/* In the handler. 0, or -EOPNOTSUPP: one that cannot be made again; then
 * nothing has been taken back. */
int notices_take(void);
void notices_renew(void);

#endif
