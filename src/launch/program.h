/* SPDX-License-Identifier: MIT */
/*
 * The program to be launched: where execvp() would find it, and whether the
 * library can be preloaded into it. Preloading never fails aloud: the dynamic
 * linker skips what it may not load, and a static program has none. So all
 * that is looked at before it starts.
 */
#ifndef LAUNCH_PROGRAM_H
#define LAUNCH_PROGRAM_H

#include <stddef.h>

/* The path to execute. 0, or -errno with one line in err. */
int program_find(const char *name, char *path, size_t size, char *err,
		 size_t errsize);

/* 0: it can be preloaded; -errno with the reason in err. Scripts are followed
 * to their interpreter. */
int program_check(const char *path, char *err, size_t errsize);

#endif
