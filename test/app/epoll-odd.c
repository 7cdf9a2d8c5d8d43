/* SPDX-License-Identifier: MIT */
/*
 * An epoll with several numbers of one description, each registered; numbers
 * that were closed and given to others; three levels of nesting; a timerfd
 * that is told when the clock is set.
 */
#include "twice.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>

static int set, middle, top, event, copy, reused, once, timer;

static void add(int to, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event entry = {events, {.u64 = data}};

	check(epoll_ctl(to, EPOLL_CTL_ADD, fd, &entry) == 0);
}

static void prepare(void)
{
	struct itimerspec spec = {{0, 0}, {0, 0}};
	int gone;

	set = epoll_create1(EPOLL_CLOEXEC);
	middle = epoll_create1(0);
	top = epoll_create1(0);
	event = eventfd(0, EFD_NONBLOCK);
	copy = dup(event);
	once = eventfd(1, EFD_NONBLOCK);
	add(set, event, EPOLLIN, 1);
	add(set, copy, EPOLLIN | EPOLLET, 2);
	gone = dup(event);
	add(set, gone, EPOLLIN | EPOLLONESHOT, 3);
	/* Another description under the number that is registered. */
	reused = eventfd(0, EFD_NONBLOCK);
	check(dup2(reused, gone) == gone);
	close(reused);
	reused = gone;
	add(set, reused, EPOLLIN, 4);
	add(set, once, EPOLLOUT | EPOLLET | EPOLLONESHOT, 5);
	add(middle, set, EPOLLIN, 6);
	add(top, middle, EPOLLIN | EPOLLET, 7);
	timer = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK);
	clock_gettime(CLOCK_REALTIME, &spec.it_value);
	spec.it_value.tv_sec += 1000;
	check(timerfd_settime(timer, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET,
			      &spec, NULL) == 0);
}

/* A bit for each entry that is ready now. */
static unsigned ready_now(int in)
{
	struct epoll_event got[8];
	int n = epoll_wait(in, got, 8, 0), i;
	unsigned bits = 0;

	check(n >= 0);
	for (i = 0; i < n; i++)
		bits |= 1u << got[i].data.u64;
	return bits;
}

static void verify(void)
{
	struct itimerspec left;
	char info[512] = "", name[64];
	eventfd_t value;
	int fd;

	check(ready_now(set) == 1u << 5);
	check(ready_now(set) == 0);
	eventfd_write(event, 1);
	check(ready_now(top) == 1u << 7 && ready_now(middle) == 1u << 6);
	check(ready_now(set) == (1u << 1 | 1u << 2 | 1u << 3));
	check(ready_now(set) == 1u << 1); /* level */
	check(eventfd_read(event, &value) == 0);
	eventfd_write(reused, 1);
	check(ready_now(set) == 1u << 4);
	check(timerfd_gettime(timer, &left) == 0);
	check(left.it_value.tv_sec > 800);
	snprintf(name, sizeof(name), "/proc/self/fdinfo/%d", timer);
	fd = open(name, O_RDONLY);
	check(read(fd, info, sizeof(info) - 1) > 0);
	check(strstr(info, "settime flags: 03") != NULL);
	close(fd), close(timer), close(set), close(middle), close(top);
	close(event), close(copy), close(once), close(reused);
}

int main(void)
{
	return twice(prepare, verify);
}
