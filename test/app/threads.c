/* SPDX-License-Identifier: MIT */
/*
 * argv[1] threads (20), each with its own sum, thread-local value and tid;
 * some compute without pause, some wait for a lock, a condition or a pipe.
 * All are the same threads afterwards, and all go on.
 */
#include "story.h"

#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <sys/syscall.h>

#define MOST 4096

struct worker {
	pthread_t thread;
	unsigned number;
	pid_t tid;
	volatile uint64_t rounds;
};

static struct worker workers[MOST];
static unsigned count = 20;
static volatile int finish;
static __thread uint64_t mine;
static pthread_barrier_t started;
static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turn = PTHREAD_COND_INITIALIZER;
static int ends[2];

static void *work(void *arg)
{
	struct worker *me = arg;
	char byte;

	me->tid = (pid_t)syscall(SYS_gettid);
	mine = me->number * 3;
	pthread_barrier_wait(&started);
	switch (me->number % 4) {
	case 0:
		while (!finish) {
			me->rounds++;
			mine = mine * 5 / 5;
		}
		break;
	case 1:
		pthread_mutex_lock(&held);
		pthread_mutex_unlock(&held);
		break;
	case 2:
		pthread_mutex_lock(&lock);
		while (!finish)
			pthread_cond_wait(&turn, &lock);
		pthread_mutex_unlock(&lock);
		break;
	default:
		check(read(ends[0], &byte, 1) == 1);
	}
	check((pid_t)syscall(SYS_gettid) == me->tid);
	check(mine == me->number * 3);
	return me;
}

int main(int argc, char **argv)
{
	uint64_t before[MOST];

	if (argc > 1)
		count = (unsigned)atoi(argv[1]);
	check(count <= MOST);
	check(pipe(ends) == 0);
	check(pthread_barrier_init(&started, NULL, count + 1) == 0);
	pthread_mutex_lock(&held);
	for (unsigned i = 0; i < count; i++) {
		workers[i].number = i;
		errno = pthread_create(&workers[i].thread, NULL, work,
				       &workers[i]);
		check(errno == 0);
	}
	pthread_barrier_wait(&started);
	story_ready();
	for (unsigned i = 0; i < count; i++)
		before[i] = workers[i].rounds;
	for (unsigned i = 0; i < count; i += 4) /* each one still computes */
		while (workers[i].rounds == before[i])
			sched_yield();
	story_ready();
	pthread_mutex_lock(&lock);
	finish = 1;
	pthread_cond_broadcast(&turn);
	pthread_mutex_unlock(&lock);
	pthread_mutex_unlock(&held);
	for (unsigned i = 0; i < count; i++)
		if (i % 4 == 3)
			check(write(ends[1], "x", 1) == 1);
	for (unsigned i = 0; i < count; i++) {
		void *back;

		check(pthread_join(workers[i].thread, &back) == 0);
		check(back == &workers[i]);
	}
	return 0;
}
