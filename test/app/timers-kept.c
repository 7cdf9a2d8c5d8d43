/* SPDX-License-Identifier: MIT */
/*
 * POSIX timers keep id, rest and target; a periodic one counts no tick twice.
 */
#include "twice.h"

#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

static timer_t far, cpu, periodic, called;
static volatile unsigned long calls;
static int ticks;
static struct timespec began;
static sigset_t tick;

static void call(union sigval value)
{
	calls += (unsigned long)value.sival_int;
}

static void handler(int number)
{
	(void)number;
}

static void prepare(void)
{
	struct itimerspec spec = {{7, 0}, {1000, 0}};
	struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL,
				 .sigev_signo = SIGRTMIN + 5};
	struct itimerval real = {{40, 0}, {4000, 0}};

	sigaction(SIGRTMIN + 5, &action, NULL);
	sigemptyset(&tick);
	sigaddset(&tick, SIGRTMIN + 6);
	pthread_sigmask(SIG_BLOCK, &tick, NULL);
	check(timer_create(CLOCK_MONOTONIC, &event, &periodic) == 0);
	timer_delete(periodic); /* ids need not begin at 0 */
	check(timer_create(CLOCK_MONOTONIC, &event, &far) == 0);
	check(timer_settime(far, 0, &spec, NULL) == 0);
	check(timer_create(CLOCK_PROCESS_CPUTIME_ID, &event, &cpu) == 0);
	check(timer_settime(cpu, 0, &spec, NULL) == 0);
	event.sigev_signo = SIGRTMIN + 6;
	event.sigev_notify = SIGEV_THREAD_ID;
	event._sigev_un._tid = (int)syscall(SYS_gettid);
	check(timer_create(CLOCK_MONOTONIC, &event, &periodic) == 0);
	spec = (struct itimerspec){{0, 2000000}, {0, 2000000}};
	ticks = 0;
	clock_gettime(CLOCK_MONOTONIC, &began);
	check(timer_settime(periodic, 0, &spec, NULL) == 0);
	event = (struct sigevent){.sigev_notify = SIGEV_THREAD,
				  .sigev_value.sival_int = 1};
	event.sigev_notify_function = call;
	check(timer_create(CLOCK_MONOTONIC, &event, &called) == 0);
	check(timer_settime(called, 0, &spec, NULL) == 0);
	check(setitimer(ITIMER_REAL, &real, NULL) == 0);
}

static void take_ticks(void)
{
	struct timespec patience = {10, 0};
	siginfo_t info;
	int i;

	for (i = 0; i < 5; i++) {
		check(sigtimedwait(&tick, &info, &patience) == SIGRTMIN + 6);
		check(info.si_code == SI_TIMER);
		ticks += 1 + info.si_overrun;
	}
}

static void verify(void)
{
	struct itimerspec spec;
	struct itimerval real;
	struct timespec now, nap = {0, 1000000};
	unsigned long before = calls;
	long most;

	check(timer_gettime(far, &spec) == 0);
	check(spec.it_value.tv_sec > 900 && spec.it_value.tv_sec < 1000);
	check(spec.it_interval.tv_sec == 7);
	check(timer_gettime(cpu, &spec) == 0);
	check(spec.it_value.tv_sec > 900 && spec.it_interval.tv_sec == 7);
	take_ticks();
	clock_gettime(CLOCK_MONOTONIC, &now);
	most = (now.tv_sec - began.tv_sec) * 500 +
	       (now.tv_nsec - began.tv_nsec) / 2000000 + 2;
	check(ticks <= most);
	while (calls == before)
		nanosleep(&nap, NULL);
	getitimer(ITIMER_REAL, &real);
	check(real.it_value.tv_sec > 3900 && real.it_interval.tv_sec == 40);
	check(timer_delete(far) == 0 && timer_delete(cpu) == 0);
	check(timer_delete(periodic) == 0 && timer_delete(called) == 0);
}

int main(void)
{
	return twice(prepare, verify);
}
