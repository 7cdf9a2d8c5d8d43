/* SPDX-License-Identifier: MIT */
/*
 * Timers so fast that the next tick is there when one is taken: blocked, for
 * the process and for a thread, with a signal of each sort; a signal queued
 * among the ticks is not lost.
 */
#include "twice.h"

#include <signal.h>
#include <sys/syscall.h>
#include <time.h>

static timer_t timers[3];
static sigset_t ticks;
static struct timespec began;

static int number_of(int i)
{
	return i == 2 ? SIGALRM : SIGRTMIN + 3 + i;
}

static void prepare(void)
{
	struct itimerspec spec = {{0, 1000}, {0, 1000}};
	struct sigevent event = {0};
	int i;

	sigemptyset(&ticks);
	for (i = 0; i < 3; i++)
		sigaddset(&ticks, number_of(i));
	check(sigprocmask(SIG_BLOCK, &ticks, NULL) == 0);
	clock_gettime(CLOCK_MONOTONIC, &began);
	for (i = 0; i < 3; i++) {
		event.sigev_signo = number_of(i);
		event.sigev_notify = i == 1 ? SIGEV_THREAD_ID : SIGEV_SIGNAL;
		event._sigev_un._tid = (int)syscall(SYS_gettid);
		check(timer_create(CLOCK_MONOTONIC, &event, &timers[i]) == 0);
		check(timer_settime(timers[i], 0, &spec, NULL) == 0);
	}
	check(sigqueue(getpid(), number_of(0),
		       (union sigval){.sival_int = 77}) == 0);
}

static void verify(void)
{
	struct itimerspec spec, stop = {{0, 0}, {0, 0}};
	struct timespec patience = {10, 0}, now;
	long long most, got[3] = {0};
	int i, queued = 0;
	siginfo_t info;
	sigset_t set;

	for (i = 0; i < 3; i++) {
		int taken = 0;

		sigemptyset(&set);
		sigaddset(&set, number_of(i));
		check(timer_gettime(timers[i], &spec) == 0);
		check(spec.it_interval.tv_nsec == 1000);
		while (taken < 100) {
			check(sigtimedwait(&set, &info, &patience) ==
			      number_of(i));
			if (info.si_code == SI_QUEUE) {
				check(i == 0 && info.si_value.sival_int == 77);
				queued++;
				continue;
			}
			check(info.si_code == SI_TIMER && info.si_overrun >= 0);
			got[i] += 1 + info.si_overrun;
			taken++;
		}
		check(timer_settime(timers[i], 0, &stop, NULL) == 0);
	}
	check(queued == 1);
	clock_gettime(CLOCK_MONOTONIC, &now);
	most = (now.tv_sec - began.tv_sec) * 1000000ll +
	       (now.tv_nsec - began.tv_nsec) / 1000 + 2;
	for (i = 0; i < 3; i++) {
		check(got[i] <= most);
		check(timer_delete(timers[i]) == 0);
	}
	patience.tv_sec = 0;
	while (sigtimedwait(&ticks, NULL, &patience) > 0)
		;
}

int main(void)
{
	return twice(prepare, verify);
}
