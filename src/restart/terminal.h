/* SPDX-License-Identifier: MIT */
/*
 * The user's own terminal, as it was when ckpt_restart was started: the
 * program sets it as it wants it, and gets no chance to put it back as it
 * was here.
 */
#ifndef RESTART_TERMINAL_H
#define RESTART_TERMINAL_H

/* tty: a descriptor of the controlling terminal, or -1. */
void terminal_keep(int tty);
/* Back to those settings, if our group is in the foreground. SIGTTOU is
 * blocked. */
void terminal_put_back(void);

#endif
