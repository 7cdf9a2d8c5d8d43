/* SPDX-License-Identifier: MIT */
/* A number in memory goes on where it was, through as many lives as argv[1]
 * says, and so does what stands on the stack and in the heap. */
#include "story.h"

static volatile unsigned counter;

int main(int argc, char **argv)
{
	unsigned lives = argc > 1 ? (unsigned)atoi(argv[1]) : 1;
	unsigned *heap = malloc(sizeof(*heap)), stack = 7;
	pid_t pid = getpid();

	*heap = 70;
	for (unsigned life = 0; life < lives; life++) {
		while (++counter % 1000)
			;
		stack++;
		++*heap;
		story_ready();
		check(counter == 1000 * (life + 1));
		check(*heap == 71 + life);
		check(stack == 8 + life);
		check(getpid() == pid);
	}
	printf("counted to %u\n", counter);
	return 0;
}
