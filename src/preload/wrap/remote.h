/* SPDX-License-Identifier: MIT */
/*
 * Remote shells: who executes ssh (or another name of CKPT_REMOTE_SHELLS, a
 * list with colons; default ssh:rsh) gets ckpt_remote, which starts the command
 * in the same computation on the other host. No memory but the caller's stack:
 * see environment.h.
 */
#ifndef REMOTE_H
#define REMOTE_H

#include <stddef.h>

/* Bytes that remote_build() needs; 0: it is no such program. */
size_t remote_size(const char *file, char *const argv[], char *const envp[]);
/* The arguments of preload.remote, which is to be executed instead. */
char *const *remote_build(void *room, const char *file, char *const argv[]);

#endif
