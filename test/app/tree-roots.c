/* SPDX-License-Identifier: MIT */
/* One of several programs launched into one computation: says argv[1], waits
 * for the FIFO go-argv[1], says that it ends, and does with status argv[2].
 * A child of it stays a bit longer. */
#include "tree.h"

int main(int argc, char **argv)
{
	char path[4096], word[64], byte;
	pid_t child;
	int fd;

	check(argc > 2);
	tree_start();
	child = fork();
	check(child >= 0);
	if (child == 0) {
		await_signal(SIGUSR1);
		_exit(3);
	}
	story_say(argv[1]);
	snprintf(word, sizeof(word), "go-%s", argv[1]);
	story_path(path, sizeof(path), word);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	check(fd >= 0);
	check(read(fd, &byte, 1) == 0);
	close(fd);
	tell(child, SIGUSR1);
	expect_status(child, 3 << 8);
	snprintf(word, sizeof(word), "%s ends", argv[1]);
	story_say(word);
	return atoi(argv[2]);
}
