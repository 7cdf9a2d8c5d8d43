/* SPDX-License-Identifier: MIT */
/*
 * Our own errands on other hosts, by ssh or what CKPT_SSH names (words,
 * divided by blanks). It is run outside of any computation.
 */
#ifndef UTIL_SSH_H
#define UTIL_SSH_H

#include <stddef.h>

/* Becomes ssh: our streams are the command's. quiet: it may not ask for
 * passwords. Returns only if that fails. */
void util_ssh_become(const char *host, const char *command, int quiet);

/* Runs the command with this input (NULL: none). answer: the last line that
 * it says. Its exit status (255: ssh itself failed), or -errno. */
int util_ssh_ask(const char *host, const char *command, int quiet,
		 const char *input, char *answer, size_t size);

/* Appends text to a command line, in quotes, with a blank before. -ENOSPC. */
int util_ssh_quote(char *line, size_t size, const char *text);

/* Is it another name of the host that we are on? */
int util_ssh_is_here(const char *host);

#endif
