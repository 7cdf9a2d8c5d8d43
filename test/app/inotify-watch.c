/* SPDX-License-Identifier: MIT */
/* Watches keep their numbers and see what happens afterwards. */
#include "twice.h"

#include <sys/inotify.h>
#include <sys/stat.h>

static int fd, wd, aside;

static void prepare(void)
{
	char events[4096];

	fd = inotify_init1(IN_NONBLOCK);
	check(inotify_rm_watch(fd, inotify_add_watch(fd, ".", IN_CREATE)) == 0);
	wd = inotify_add_watch(fd, ".", IN_CREATE | IN_DELETE);
	check(fd >= 0 && wd == 2);
	check(read(fd, events, sizeof(events)) > 0); /* IN_IGNORED */
	/* Neither open nor above anything that is. */
	check(mkdir("aside", 0700) == 0 || errno == EEXIST);
	check(close(open("aside/file", O_CREAT | O_WRONLY, 0600)) == 0);
	aside = inotify_add_watch(fd, "aside/file", IN_MODIFY);
	check(aside == 3);
	while (read(fd, events, sizeof(events)) > 0)
		;
}

static void verify(void)
{
	char events[4096] __attribute__((aligned(8)));
	const struct inotify_event *event = (void *)events;

	check(mkdir("seen", 0700) == 0);
	check(read(fd, events, sizeof(events)) > 0);
	check(event->wd == wd && (event->mask & IN_CREATE));
	check(!strcmp(event->name, "seen"));
	check(rmdir("seen") == 0);
	check(read(fd, events, sizeof(events)) > 0 && event->wd == wd);
	check((wd = open("aside/file", O_WRONLY)) >= 0);
	check(write(wd, "x", 1) == 1 && close(wd) == 0);
	check(read(fd, events, sizeof(events)) > 0);
	check(event->wd == aside && (event->mask & IN_MODIFY));
	wd = 2;
	check(inotify_rm_watch(fd, wd) == 0);
	close(fd);
}

int main(void)
{
	return twice(prepare, verify);
}
