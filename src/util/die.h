/* SPDX-License-Identifier: MIT */
/*
 * The end of a program that cannot do its job: one line to standard error,
 * after the program's name, and exit status 99, which no user program's
 * status is mistaken for. Only before user code runs; never in the library.
 */
#ifndef UTIL_DIE_H
#define UTIL_DIE_H

#define EXIT_OUR_FAILURE 99

__attribute__((noreturn, format(printf, 1, 2))) void die(const char *format, ...);

/* The same line, for who goes on. */
__attribute__((format(printf, 1, 2))) void warn_user(const char *format, ...);

#endif
