/* SPDX-License-Identifier: MIT */
/*
 * Between checkpoints nothing of ckpt is to be seen from inside: one thread,
 * the descriptors we opened and no others, the lowest free one is 3, no
 * socket, no child. Before, between and after.
 */
#include "story.h"

#include <dirent.h>
#include <sys/wait.h>

static int entries(const char *path)
{
	DIR *folder = opendir(path);
	int count = 0;

	check(folder != NULL);
	while (readdir(folder))
		count++;
	closedir(folder);
	return count - 2;
}

/* The service thread says that all is done, and then ends: it may have a few
 * instructions left. */
static void alone(void)
{
	int patience = 2000; /* ms */

	while (entries("/proc/self/task") != 1 && patience-- > 0)
		usleep(1000);
	check(patience > 0);
}

static void look(void)
{
	int fd;

	alone();
	check(entries("/proc/self/fd") == 4); /* 0, 1, 2 and the folder */
	fd = open("/dev/null", O_RDONLY);
	check(fd == 3);
	close(fd);
	check(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
}

int main(void)
{
	for (int life = 0; life < 3; life++) {
		look();
		story_ready();
		look();
	}
	return 0;
}
