/* SPDX-License-Identifier: MIT */
/*
 * Where our programs and libckpt.so are: in the build tree, installed, or
 * installed and moved elsewhere (DESTDIR, a copied or symlinked prefix).
 * Everything is looked for relative to /proc/self/exe first.
 */
#ifndef UTIL_PATHS_H
#define UTIL_PATHS_H

#include <stddef.h>

/* Absolute path of libckpt.so, or of the program `name` ("ckpt_agent").
 * 0, -ENOENT: it is nowhere, or -ENAMETOOLONG. The path may hold spaces and
 * colons, which LD_PRELOAD takes for separators: the caller's to see to. */
int util_find_library(char *path, size_t size);
int util_find_program(const char *name, char *path, size_t size);

#endif
