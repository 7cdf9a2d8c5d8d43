/* SPDX-License-Identifier: MIT */
/* An inotify event that has not been read is there while the program runs on,
 * and lost by a restart; the watch goes on in both. */
#include "story.h"

#include <sys/inotify.h>
#include <sys/stat.h>

int main(void)
{
	char text[4096];
	int watcher = inotify_init1(IN_NONBLOCK);

	check(inotify_add_watch(watcher, ".", IN_CREATE) == 1);
	check(mkdir("first", 0700) == 0);
	story_ready();
	check(read(watcher, text, sizeof(text)) > 0);
	check(mkdir("second", 0700) == 0);
	story_ready();
	check(read(watcher, text, sizeof(text)) < 0 && errno == EAGAIN);
	check(mkdir("third", 0700) == 0);
	check(read(watcher, text, sizeof(text)) > 0);
	return 0;
}
