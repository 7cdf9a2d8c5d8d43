/* SPDX-License-Identifier: MIT */
/*
 * The log of a program that lives long: a line an event, with the time.
 * Nothing is ever logged by two threads.
 */
#ifndef UTIL_LOG_H
#define UTIL_LOG_H

/* Lines go to this file (appended, 0600) from now on; NULL: to standard error,
 * as it is before the first call. 0 or -errno. */
int log_open(const char *path);

__attribute__((format(printf, 1, 2))) void log_line(const char *format, ...);

#endif
