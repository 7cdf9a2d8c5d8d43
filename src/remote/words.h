/* SPDX-License-Identifier: MIT */
/*
 * What the two sides of the start tell each other in lines. Behind the words
 * of util/meet.h the caller sends
 *
 *	TOKEN			that the connection has to bring back
 *	PORT4, PORT6		where it listens; 0: not
 *	HOST ...		where that is; "*": where ssh comes from
 *				(an empty line)
 *	LENGTH			of the command, which follows
 */
#ifndef REMOTE_WORDS_H
#define REMOTE_WORDS_H

#include <stddef.h>

#include "remote/remote.h"

struct words {
	char token[REMOTE_TOKEN_DIGITS + 1];
	int port4, port6;
	char hosts[1024]; /* blanks between */
	char *command;
};

/* To be freed. */
char *words_print(const struct words *words);
/* Reads no byte more. 0 or -errno. */
int words_read(int fd, struct words *words);

#endif
