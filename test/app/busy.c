/* SPDX-License-Identifier: MIT */
/*
 * Threads that are never in a convenient place: inside malloc, stdio and
 * dlopen with their locks held, in a signal handler, on an alternate stack,
 * with all signals blocked, on a coroutine's small stack, starting and ending
 * threads without pause, changing ids in all threads (setxid uses the signal
 * that ckpt uses). All go on, and all they compute is right.
 *
 * BUILD: -ldl
 */
#include "story.h"

#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>

static volatile int finish;
static volatile sig_atomic_t in_handler;

static void *in_malloc(void *arg)
{
	unsigned char *blocks[64] = {0};

	for (unsigned i = 0; !finish; i++) {
		unsigned at = i % 64, size = 16 + i * 7919 % 70000;

		check(!blocks[at] || blocks[at][0] == at);
		free(blocks[at]);
		blocks[at] = malloc(size);
		check(blocks[at] != NULL);
		memset(blocks[at], (int)at, size);
	}
	return arg;
}

static void *in_stdio(void *arg)
{
	FILE *file = tmpfile();
	char line[64], expect[64];

	check(file != NULL);
	for (unsigned i = 0; !finish; i++) {
		if (i % 1000 == 0)
			rewind(file);
		fprintf(file, "line %u of many\n", i);
		snprintf(expect, sizeof(expect), "line %u of many\n", i);
		fseek(file, -(long)strlen(expect), SEEK_CUR);
		check(fgets(line, sizeof(line), file) != NULL);
		check(!strcmp(line, expect));
		fseek(file, 0, SEEK_CUR);
	}
	fclose(file);
	return arg;
}

static void *in_dlopen(void *arg)
{
	while (!finish) {
		void *library = dlopen("libm.so.6", RTLD_NOW);
		double (*root)(double);

		check(library != NULL);
		*(void **)&root = dlsym(library, "sqrt");
		check(root && root(49) == 7);
		dlclose(library);
	}
	return arg;
}

/* Stays in the handler of its own signal until the end. */
static void handler(int signal)
{
	char here;

	if (signal == SIGUSR2) {
		stack_t now;

		sigaltstack(NULL, &now);
		check(now.ss_flags == SS_ONSTACK);
		check(&here >= (char *)now.ss_sp &&
		      &here < (char *)now.ss_sp + now.ss_size);
	}
	in_handler++;
	while (!finish)
		;
}

static void *in_a_handler(void *arg)
{
	if (arg) {
		stack_t mine = {.ss_size = 65536};

		mine.ss_sp = malloc(mine.ss_size);
		check(sigaltstack(&mine, NULL) == 0);
		raise(SIGUSR2);
	} else {
		raise(SIGUSR1);
	}
	return arg;
}

static void *blocked(void *arg)
{
	sigset_t everything;
	uint64_t value = 1, rounds = 0;

	sigfillset(&everything);
	pthread_sigmask(SIG_SETMASK, &everything, NULL);
	for (; !finish; rounds++)
		value = value * 6364136223846793005u + 1;
	for (uint64_t again = 1;; again = again * 6364136223846793005u + 1)
		if (rounds-- == 0) {
			check(again == value);
			break;
		}
	return arg;
}

static void *nothing(void *arg)
{
	return arg;
}

static void *creating(void *arg)
{
	for (uintptr_t i = 0; !finish; i++) {
		void *back;
		pthread_t t;

		errno = pthread_create(&t, NULL, nothing, (void *)i);
		check(errno == 0);
		check(pthread_join(t, &back) == 0 && back == (void *)i);
	}
	return arg;
}

static void *changing_ids(void *arg)
{
	while (!finish) {
		check(setegid(getegid()) == 0);
		check(seteuid(geteuid()) == 0);
		sched_yield();
	}
	return arg;
}

static _Thread_local ucontext_t routine, scheduler;

static void small(void)
{
	while (!finish)
		for (volatile int i = 0; i < 1000; i++)
			if (i % 100 == 0 && i)
				swapcontext(&routine, &scheduler);
}

static void *coroutine(void *arg)
{
	size_t size = 16384, page = 4096;
	char *stack = mmap(NULL, size + page, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	check(stack != MAP_FAILED && mprotect(stack, page, PROT_NONE) == 0);
	getcontext(&routine);
	routine.uc_stack.ss_sp = stack + page;
	routine.uc_stack.ss_size = size;
	routine.uc_link = &scheduler;
	makecontext(&routine, small, 0);
	while (!finish)
		swapcontext(&scheduler, &routine);
	return arg;
}

static void *in_environment(void *arg)
{
	char text[32];

	for (unsigned i = 0; !finish; i++) {
		snprintf(text, sizeof(text), "%u", i);
		setenv("BUSY", text, 1);
		check(!strcmp(getenv("BUSY"), text));
	}
	return arg;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void *(*run)(void *);
		void *arg;
	} kinds[] = {
		{"malloc", in_malloc, NULL},
		{"malloc", in_malloc, NULL},
		{"stdio", in_stdio, NULL},
		{"dlopen", in_dlopen, NULL},
		{"handler", in_a_handler, NULL},
		{"altstack", in_a_handler, (void *)1},
		{"blocked", blocked, NULL},
		{"creating", creating, NULL},
		{"ids", changing_ids, NULL},
		{"coroutine", coroutine, NULL},
		{"environment", in_environment, NULL},
	};
	enum { COUNT = sizeof(kinds) / sizeof(*kinds) };
	struct sigaction action = {.sa_handler = handler};
	int handlers = 0, lives = argc > 1 ? atoi(argv[1]) : 1;
	const char *only = argc > 2 ? argv[2] : NULL;
	pthread_t threads[COUNT];

	sigaction(SIGUSR1, &action, NULL);
	action.sa_flags = SA_ONSTACK;
	sigaction(SIGUSR2, &action, NULL);
	for (int i = 0; i < COUNT; i++) {
		if (only && strcmp(only, kinds[i].name))
			continue;
		handlers += kinds[i].run == in_a_handler;
		errno = pthread_create(&threads[i], NULL, kinds[i].run,
				       kinds[i].arg);
		check(errno == 0);
	}
	while (in_handler < handlers)
		sched_yield();
	while (lives--)
		story_ready();
	finish = 1;
	for (int i = 0; i < COUNT; i++)
		if (!only || !strcmp(only, kinds[i].name))
			check(pthread_join(threads[i], NULL) == 0);
	return 0;
}
