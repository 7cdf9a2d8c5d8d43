/* SPDX-License-Identifier: MIT */
/*
 * What the user gets to read. The same calls work in ckpt_restart itself and
 * in the processes it makes (init, the restored program before it jumps),
 * which hand their lines on: the terminal belongs to ckpt_restart alone.
 */
#ifndef SAY_H
#define SAY_H

#include <stddef.h>

/* Our failure: what, where, what to do; one line. In ckpt_restart: undoes what
 * say_on_failure() was given, prints, exit 99. In a child: one line into the
 * error pipe, undo, exit 99. */
_Noreturn void fail(const char *format, ...)
	__attribute__((format(printf, 1, 2)));
_Noreturn void fail_line(const char *line);

/* A line of the report at the end (displaced files and the like). */
void report(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A line at once, unless --quiet. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

void say_quiet(void);
int say_is_quiet(void);
/* Do that now: a signal ends the restart. */
void say_undo(void);
/* Runs when this process fails; only one, the last one set. A child begins
 * with none. */
void say_on_failure(void (*undo)(void));
/* From here on this process is a child: lines leave by these descriptors, the
 * report by a datagram each. Called again when these have moved. */
void say_from_child(int error_fd, int report_fd);
/* A child, when there are several: whose words they are. */
void say_who(int pid, const char *program);
int say_error_fd(void);
int say_report_fd(void);

/* ckpt_restart: a line of a child's report has come; print all of them. */
void report_line(const char *line, size_t length, int pid);
void report_print(void);

#endif
