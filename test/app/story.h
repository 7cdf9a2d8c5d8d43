/* SPDX-License-Identifier: MIT */
/*
 * What a test program and its story say to each other. The program says a
 * word through the FIFO "events", which the story holds open, and waits for
 * the story by opening the FIFO "resume": that open returns when the story
 * opens the other end, and until then no descriptor stands open. So nothing
 * of the harness is in the way of what is tested.
 *
 * A line "BUILD: flags" in a comment of the program goes to the compiler.
 */
#ifndef STORY_H
#define STORY_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Fails the story unless true; says where, and errno. */
#define check(condition)                                                       \
	do {                                                                   \
		if (!(condition))                                              \
			story_fail(__FILE__, __LINE__, #condition);            \
	} while (0)

static inline void story_fail(const char *file, int line, const char *what)
{
	dprintf(2, "%s:%d: check(%s) failed; errno %d (%s)\n", file, line, what,
		errno, strerror(errno));
	_exit(1);
}

static inline void story_path(char *path, size_t size, const char *name)
{
	const char *folder = getenv("STORY_DIR");

	if (!folder) {
		dprintf(2, "STORY_DIR is not set: run me by test/story/run\n");
		_exit(77);
	}
	snprintf(path, size, "%s/%s", folder, name);
}

/* The story's `await word` returns. */
static inline void story_say(const char *word)
{
	char path[4096];
	int fd;

	story_path(path, sizeof(path), "events");
	fd = open(path, O_WRONLY | O_CLOEXEC);
	check(fd >= 0);
	check(dprintf(fd, "%s\n", word) > 0);
	close(fd);
}

/* Returns when the story says `resume`. */
static inline void story_wait(void)
{
	char path[4096], byte;
	int fd;

	story_path(path, sizeof(path), "resume");
	fd = open(path, O_RDONLY | O_CLOEXEC);
	check(fd >= 0);
	/* Until the other end is closed: or the next wait would find it open
	 * still, and return at once. */
	check(read(fd, &byte, 1) == 0);
	close(fd);
}

/* The place where the story checkpoints, kills and restarts us. */
static inline void story_ready(void)
{
	story_say("ready");
	story_wait();
}

#endif
