/* SPDX-License-Identifier: MIT */
/*
 * The runtime directory (HACKING.md, "Runtime files"): where our programs on
 * one host meet. What is in it decides who may control a job, so it must be
 * ours alone: a directory, no symlink, owned by the effective uid, 0700.
 */
#ifndef UTIL_RUNTIME_H
#define UTIL_RUNTIME_H

#include <stddef.h>

#define UTIL_COOKIE_BYTES 32

/* RUNTIME, made if it is not there. 0, or -errno with one line in err. The
 * path is short enough for agent.sock to fit a socket address. */
int util_runtime(char *path, size_t size, char *err, size_t errsize);

/* Makes the directory if it is not there and checks it as above. */
int util_private_dir(const char *path, char *err, size_t errsize);

/* The cookie of the coordinator at this port of this host's user, from
 * $CKPT_COOKIE_FILE or RUNTIME/coordinator-PORT.cookie. 0; -ENOENT: there is
 * none, so no coordinator of ours has been at this port. */
int util_cookie_read(int port, unsigned char cookie[UTIL_COOKIE_BYTES],
		     char *err, size_t errsize);

/* For the coordinator: the cookie that is there, else a new one. A restarted
 * coordinator thus finds its agents again. */
int util_cookie_make(int port, unsigned char cookie[UTIL_COOKIE_BYTES],
		     char *err, size_t errsize);

/* Of no use any more. While the port is still bound, so that it cannot be a
 * successor's. */
void util_cookie_forget(int port);

/* Writes text to path as a whole: under a temporary name, then renamed. */
int util_write_file(const char *path, const char *text);

/* One line of a small file, without its end. 0 or -errno. */
int util_read_line(const char *path, char *line, size_t size);

/* The number of our pid namespace, by which a host group is known. */
unsigned long util_pid_namespace(void);

#endif
