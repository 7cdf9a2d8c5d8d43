/* SPDX-License-Identifier: MIT */
/* A parent that makes a new child for each that ends, like a pool of workers;
 * it has 200 of them. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "story.h"

static void child(void)
{
	pid_t pid = fork();

	if (pid == 0)
		for (;;)
			pause();
	if (pid < 0)
		_exit(1);
}

int main(void)
{
	for (int i = 0; i < 200; i++)
		child();
	story_say("ready");
	while (wait(NULL) > 0)
		child();
	return 1;
}
