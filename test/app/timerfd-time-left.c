/* SPDX-License-Identifier: MIT */
/* Time left, interval and unread ticks of timerfds. */
#include "twice.h"

#include <stdint.h>
#include <sys/timerfd.h>
#include <time.h>

static int far, ticked, periodic, day;
static struct timespec began;

static void prepare(void)
{
	struct itimerspec spec = {{3, 0}, {1000, 0}};
	struct timespec nap = {0, 5000000};

	far = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	check(timerfd_settime(far, 0, &spec, NULL) == 0);
	ticked = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK);
	spec = (struct itimerspec){{0, 0}, {0, 1000000}};
	check(timerfd_settime(ticked, 0, &spec, NULL) == 0);
	periodic = timerfd_create(CLOCK_MONOTONIC, 0);
	spec = (struct itimerspec){{0, 1000000}, {0, 1000000}};
	clock_gettime(CLOCK_MONOTONIC, &began);
	check(timerfd_settime(periodic, 0, &spec, NULL) == 0);
	day = timerfd_create(CLOCK_REALTIME, 0);
	clock_gettime(CLOCK_REALTIME, &spec.it_value);
	spec.it_value.tv_sec += 500;
	check(timerfd_settime(day, TFD_TIMER_ABSTIME, &spec, NULL) == 0);
	nanosleep(&nap, NULL);
}

static void verify(void)
{
	struct itimerspec spec;
	struct timespec now;
	uint64_t ticks, most;

	check(timerfd_gettime(far, &spec) == 0);
	check(spec.it_value.tv_sec > 900 && spec.it_value.tv_sec <= 1000);
	check(spec.it_interval.tv_sec == 3);
	check(read(ticked, &ticks, 8) == 8 && ticks == 1);
	check(read(ticked, &ticks, 8) < 0 && errno == EAGAIN);
	/* Not one more than the clock has seen go by. */
	check(read(periodic, &ticks, 8) == 8 && ticks >= 5);
	clock_gettime(CLOCK_MONOTONIC, &now);
	most = (uint64_t)(now.tv_sec - began.tv_sec) * 1000 +
	       (uint64_t)((now.tv_nsec - began.tv_nsec) / 1000000 + 1);
	check(ticks <= most);
	check(timerfd_gettime(day, &spec) == 0);
	check(spec.it_value.tv_sec > 300 && spec.it_value.tv_sec <= 500);
	close(far);
	close(ticked);
	close(periodic);
	close(day);
}

int main(void)
{
	return twice(prepare, verify);
}
