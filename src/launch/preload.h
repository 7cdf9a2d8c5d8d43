/* SPDX-License-Identifier: MIT */
/* The environment by which libckpt.so gets into the program. */
#ifndef LAUNCH_PRELOAD_H
#define LAUNCH_PRELOAD_H

#include <stddef.h>

/* A path of libckpt.so that LD_PRELOAD can hold: neither spaces nor colons,
 * which separate, nor dollars, which the dynamic linker replaces. Made by a
 * symlink in the runtime directory where needed. 0, or -errno and err. */
int preload_library(char *path, size_t size, char *err, size_t errsize);

/* The new LD_PRELOAD: ours, the plugins ("F:F" or NULL), and what was there.
 * To be freed. */
char *preload_value(const char *library, const char *plugins, const char *old);

/* Like preload_library(), for a path of any file. */
int preload_path(const char *target, char *path, size_t size, char *err,
		 size_t errsize);

#endif
