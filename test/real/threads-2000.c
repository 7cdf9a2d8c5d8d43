/* SPDX-License-Identifier: MIT */
/* Two thousand threads: most wait on a condition, some count, all answer
 * with their own thread-local value at the end. */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define COUNT 2000

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turn = PTHREAD_COND_INITIALIZER;
static uint64_t ticket, finish, started;
static __thread uint64_t mine;
static uint64_t answer[COUNT];

static void *body(void *arg)
{
	uint64_t me = (uint64_t)(uintptr_t)arg;

	mine = me * 3;
	pthread_mutex_lock(&lock);
	started++;
	while (!finish) {
		if (ticket % COUNT == me) {
			ticket++;
			mine += 2;
			pthread_cond_broadcast(&turn);
		}
		pthread_cond_wait(&turn, &lock);
	}
	answer[me] = mine;
	pthread_mutex_unlock(&lock);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t thread[COUNT];
	pthread_attr_t attr;
	uint64_t bad = 0;
	int said = 0;

	(void)argc;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 65536);
	for (uint64_t i = 0; i < COUNT; i++)
		if (pthread_create(&thread[i], &attr, body, (void *)(uintptr_t)i)) {
			perror("pthread_create");
			return 77;
		}
	while (access(argv[1], F_OK) != 0 || ticket < 20) {
		usleep(1000);
		pthread_mutex_lock(&lock);
		if (!said && started == COUNT && ticket > 10) {
			said = 1;
			puts("ready");
			fflush(stdout);
		}
		pthread_mutex_unlock(&lock);
	}
	pthread_mutex_lock(&lock);
	finish = 1;
	pthread_cond_broadcast(&turn);
	pthread_mutex_unlock(&lock);
	for (uint64_t i = 0; i < COUNT; i++) {
		pthread_join(thread[i], NULL);
		uint64_t turns = ticket / COUNT + (i < ticket % COUNT);
		bad += answer[i] != i * 3 + 2 * turns;
	}
	printf("done rounds=%lu %s\n", (unsigned long)ticket, bad ? "WRONG" : "ok");
	return bad != 0;
}
