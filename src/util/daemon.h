/* SPDX-License-Identifier: MIT */
/*
 * Programs that go on behind the user's back: in a session of their own, with
 * none of the caller's descriptors, signal settings or terminal, in "/".
 */
#ifndef UTIL_DAEMON_H
#define UTIL_DAEMON_H

#include <stddef.h>

/*
 * Start a program as a daemon that is nobody's child, and wait until it
 * writes a line to descriptor 3 (its argument: "--ready-fd", "3").
 * log: where its standard error goes, appended; NULL: it will turn to a log of
 * its own, we only keep what it says before. Its output is discarded.
 * LD_PRELOAD and what ckpt_launch sets are taken out of its environment.
 * timeout_ms 0: do not wait at all.
 * 0, with that line; or -errno, with its last words or another reason in line.
 */
#define UTIL_READY_FD 3
int util_start_daemon(const char *path, char *const argv[], const char *log,
		      int timeout_ms, char *line, size_t size);

/*
 * Become a daemon: the parent exits 0, the child returns. Standard streams
 * lead to /dev/null; other descriptors stay.
 */
void util_daemonize(void);

/* All signals to their defaults, none blocked: a daemon must not inherit the
 * ignored SIGINT or the blocked SIGTERM of who happened to start it. */
void util_default_signals(void);

#endif
