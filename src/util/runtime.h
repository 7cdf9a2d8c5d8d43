/* SPDX-License-Identifier: MIT */
/*
 * The runtime directory (HACKING.md, "Runtime files"): where our programs on
 * one host meet. What is in it decides who may control a job, so it must be
 * ours alone: a directory, no symlink, owned by the effective uid, 0700.
 */
#ifndef UTIL_RUNTIME_H
#define UTIL_RUNTIME_H

#include <stddef.h>

/* RUNTIME, made if it is not there. 0, or -errno with one line in err. The
 * path is short enough for agent.sock to fit a socket address. */
int util_runtime(char *path, size_t size, char *err, size_t errsize);

/* Makes the directory if it is not there and checks it as above. */
int util_private_dir(const char *path, char *err, size_t errsize);

/* Writes text to path as a whole: under a temporary name, then renamed. */
int util_write_file(const char *path, const char *text);

/* One line of a small file, without its end. 0 or -errno. */
int util_read_line(const char *path, char *line, size_t size);

/* The number of the host group that we are in: of this boot of this host and of
 * our pid and UTS namespaces. Ten digits at most. */
unsigned long util_host_group(void);

#endif
