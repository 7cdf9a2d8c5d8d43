/* SPDX-License-Identifier: MIT */
/* A thread that blocks every signal by the raw system call, which libc would
 * not do for 33: it cannot be stopped until it unblocks them. */
#include "story.h"

#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>

static void block(int how)
{
	uint64_t every = ~0ull;

	check(syscall(SYS_rt_sigprocmask, how, &every, NULL, 8) == 0);
}

static void *deaf(void *unused)
{
	block(SIG_BLOCK);
	story_ready();
	block(SIG_UNBLOCK);
	return unused;
}

/* With an argument the main thread is deaf, too, as long as the other is. */
int main(int argc, char **argv)
{
	pthread_t thread;

	(void)argv;
	check(pthread_create(&thread, NULL, deaf, NULL) == 0);
	if (argc > 1)
		block(SIG_BLOCK);
	pthread_join(thread, NULL);
	block(SIG_UNBLOCK);
	story_say("hears");
	pause();
	return 0;
}
