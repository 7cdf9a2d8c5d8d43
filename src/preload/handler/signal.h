/* SPDX-License-Identifier: MIT */
/*
 * The checkpoint signal: glibc's internal 33, which no program can block or
 * handle by libc's means. All raw: glibc's sigaction() refuses it.
 */
#ifndef PARK_SIGNAL_H
#define PARK_SIGNAL_H

/* Take it, or take it again when glibc has put its own handler there (its
 * setxid handler, which gets what is not ours). Costs one system call when
 * it is ours already. Any thread, any time. */
void park_signal_arm(void);
/* For who finds it taken over by glibc: not while a thread is in exec. */
void park_signal_arm_again(void);
/* Just before exec: an ignored signal survives it, a handler would become the
 * default action, which kills. */
void park_signal_ignore(void);

#endif
