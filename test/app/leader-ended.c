/* SPDX-License-Identifier: MIT */
/* The main thread has ended; two others go on. */
#include "story.h"

#include <pthread.h>

static pthread_t leader;

static void *counting(void *finish)
{
	unsigned long rounds = 0;

	while (!*(volatile int *)finish)
		rounds++;
	return (void *)rounds;
}

static void *waiting(void *arg)
{
	int finish = 0;
	pthread_t other;

	check(pthread_join(leader, NULL) == 0);
	check(pthread_create(&other, NULL, counting, &finish) == 0);
	story_ready();
	finish = 1;
	check(pthread_join(other, NULL) == 0);
	exit(3);
	return arg;
}

int main(void)
{
	pthread_t thread;

	leader = pthread_self();
	check(pthread_create(&thread, NULL, waiting, NULL) == 0);
	pthread_exit(NULL);
}
