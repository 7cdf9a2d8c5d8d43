/* SPDX-License-Identifier: MIT */
/*
 * Signals pending for the process and for threads come in order with what they
 * carry.
 */
#include "twice.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

static sigset_t all;
static pthread_t thread;
static pthread_barrier_t queued, looked;
static volatile int hits;

static void count(int number)
{
	hits += number == SIGUSR2;
}

static void expect(int number, int code, int value)
{
	struct timespec now = {0, 0};
	siginfo_t info;

	check(sigtimedwait(&all, &info, &now) == number);
	check(info.si_code == code);
	check(code != SI_QUEUE || info.si_value.sival_int == value);
	check(code != CLD_EXITED || info.si_status == value);
}

static void expect_none(void)
{
	struct timespec now = {0, 0};

	check(sigtimedwait(&all, NULL, &now) < 0 && errno == EAGAIN);
}

static void *run(void *arg)
{
	(void)arg;
	check(pthread_sigqueue(pthread_self(), SIGRTMIN + 2,
			       (union sigval){.sival_int = 21}) == 0);
	check(pthread_sigqueue(pthread_self(), SIGRTMIN + 2,
			       (union sigval){.sival_int = 22}) == 0);
	check(pthread_kill(pthread_self(), SIGTERM) == 0);
	pthread_barrier_wait(&queued);
	pthread_barrier_wait(&looked);
	expect(SIGTERM, SI_USER, 0); /* libc makes that of SI_TKILL */
	expect(SIGRTMIN + 2, SI_QUEUE, 21);
	expect(SIGRTMIN + 2, SI_QUEUE, 22);
	expect_none();
	return NULL;
}

static void prepare(void)
{
	struct sigaction action = {.sa_handler = count, .sa_flags = SA_RESTART};
	siginfo_t info;
	pid_t child;
	int i;

	sigfillset(&all);
	sigaction(SIGUSR2, &action, NULL);
	check(pthread_sigmask(SIG_SETMASK, &all, NULL) == 0);
	pthread_barrier_init(&queued, NULL, 2);
	pthread_barrier_init(&looked, NULL, 2);
	check(pthread_create(&thread, NULL, run, NULL) == 0);
	pthread_barrier_wait(&queued);
	child = fork();
	if (child == 0)
		_exit(5);
	check(waitid(P_PID, (id_t)child, &info, WEXITED) == 0);
	check(kill(getpid(), SIGUSR2) == 0);
	for (i = 0; i < 100; i++)
		check(!sigqueue(getpid(), SIGRTMIN + 1,
				(union sigval){.sival_int = i}));
	check(kill(getpid(), SIGUSR1) == 0);
}

static void verify(void)
{
	sigset_t one;
	int i;

	hits = 0;
	sigemptyset(&one);
	sigaddset(&one, SIGUSR2);
	check(pthread_sigmask(SIG_UNBLOCK, &one, NULL) == 0);
	check(hits == 1);
	expect(SIGUSR1, SI_USER, 0);
	expect(SIGCHLD, CLD_EXITED, 5);
	for (i = 0; i < 100; i++)
		expect(SIGRTMIN + 1, SI_QUEUE, i);
	expect_none();
	pthread_barrier_wait(&looked);
	check(pthread_join(thread, NULL) == 0);
}

int main(void)
{
	return twice(prepare, verify);
}
