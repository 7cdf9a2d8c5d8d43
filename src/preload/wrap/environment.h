/* SPDX-License-Identifier: MIT */
/*
 * The environment that a new program gets: what the caller wants it to be,
 * with LD_PRELOAD and CKPT_* as we know them put back where they are missing.
 *
 * Nothing is allocated: in a vfork child we run in the parent's memory, and
 * exec would leak it there. So the caller asks how much room it takes and
 * gives that from its own stack.
 */
#ifndef ENVIRONMENT_H
#define ENVIRONMENT_H

#include <stddef.h>

/* Bytes environment_build() needs; 0: it is right as it is, pass it on. */
size_t environment_size(char *const envp[]);
char *const *environment_build(void *room, char *const envp[]);

#endif
