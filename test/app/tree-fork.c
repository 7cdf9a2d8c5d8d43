/* SPDX-License-Identifier: MIT */
/* A tree, argv[1] wide at the top (default 3) and three deep (10 processes for
 * 3 and 2): every process has its pid, parent, group and session, its parent
 * can wait for it, and its memory is its own. argv[2]: rounds. */
#include "tree.h"

static int width = 3;
static char own[8192];

static int grow(int depth)
{
	int breadth = depth == 1 ? width : 2, status = 20 + depth, i;
	pid_t children[breadth];
	pid_t parent = getppid();
	struct place place;
	char seen[sizeof(own)];

	memset(own, depth + '0', sizeof(own));
	memcpy(own, &(pid_t){getpid()}, sizeof(pid_t));
	memcpy(seen, own, sizeof(own));
	for (i = 0; depth < 3 && i < breadth; i++) {
		children[i] = fork();
		check(children[i] >= 0);
		if (children[i] == 0)
			_exit(grow(depth + 1));
		await_signal(SIGUSR2);
	}
	place = place_of_me();
	if (depth > 1) {
		tell(parent, SIGUSR2);
		await_signal(SIGUSR1);
	} else {
		story_ready();
		place.ppid = getppid(); /* outside */
		place.sid = getsid(0);
		if (place.pgid != place.pid)
			place.pgid = getpgrp();
	}
	if (depth == 1)
		check(getpid() == place.pid);
	else if (getpid() != place.pid || getppid() != parent)
		return 1;
	check(memcmp(own, seen, sizeof(own)) == 0);
	for (i = 0; depth < 3 && i < breadth; i++) {
		tell(children[i], SIGUSR1);
		expect_status(children[i], (21 + depth) << 8);
	}
	check(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
	return status;
}

int main(int argc, char **argv)
{
	int rounds = argc > 2 ? atoi(argv[2]) : 1;

	if (argc > 1)
		width = atoi(argv[1]);
	tree_start();
	while (rounds-- > 0)
		check(grow(1) == 21);
	printf("all %d processes were found\n", 1 + width * 3);
	return 0;
}
