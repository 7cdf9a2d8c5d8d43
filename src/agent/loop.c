/* SPDX-License-Identifier: MIT */
#include "agent/loop.h"

#include <errno.h>
#include <sys/epoll.h>
#include <time.h>

#define BATCH 64

static struct {
	int fd;
	int ended;
	struct loop_timer *timers; /* the soonest first */
	/* The events being dispatched: removal clears them here. */
	struct epoll_event batch[BATCH];
	int count;
} loop = {.fd = -1};

int loop_open(void)
{
	loop.fd = epoll_create1(EPOLL_CLOEXEC);
	return loop.fd < 0 ? -errno : 0;
}

static int control(int operation, struct loop_source *source, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = source};

	return epoll_ctl(loop.fd, operation, source->fd, &event) ? -errno : 0;
}

int loop_add(struct loop_source *source, uint32_t events)
{
	return control(EPOLL_CTL_ADD, source, events);
}

int loop_modify(struct loop_source *source, uint32_t events)
{
	return control(EPOLL_CTL_MOD, source, events);
}

void loop_remove(struct loop_source *source)
{
	control(EPOLL_CTL_DEL, source, 0);
	for (int i = 0; i < loop.count; i++)
		if (loop.batch[i].data.ptr == source)
			loop.batch[i].data.ptr = NULL;
}

uint64_t loop_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void loop_timer_stop(struct loop_timer *timer)
{
	struct loop_timer **at = &loop.timers;

	if (!timer->due)
		return;
	timer->due = 0;
	while (*at && *at != timer)
		at = &(*at)->next;
	if (*at)
		*at = timer->next;
}

void loop_timer_set(struct loop_timer *timer, uint64_t ms)
{
	struct loop_timer **at = &loop.timers;

	loop_timer_stop(timer);
	timer->due = loop_now() + ms * 1000000u;
	while (*at && (*at)->due <= timer->due)
		at = &(*at)->next;
	timer->next = *at;
	*at = timer;
}

static int timeout_ms(void)
{
	uint64_t now = loop_now();

	if (!loop.timers)
		return -1;
	if (loop.timers->due <= now)
		return 0;
	/* Rounded up, or the last part of a millisecond would be a spin. */
	return (int)((loop.timers->due - now + 999999) / 1000000);
}

static void timers_fire(void)
{
	uint64_t now = loop_now();

	/* Those that a callback sets anew are later than `now`. */
	while (loop.timers && loop.timers->due <= now) {
		struct loop_timer *timer = loop.timers;

		loop_timer_stop(timer);
		timer->fire(timer);
	}
}

void loop_run(void (*idle)(void))
{
	while (!loop.ended) {
		loop.count =
			epoll_wait(loop.fd, loop.batch, BATCH, timeout_ms());
		for (int i = 0; i < loop.count; i++) {
			struct loop_source *source = loop.batch[i].data.ptr;

			if (source)
				source->ready(source, loop.batch[i].events);
		}
		loop.count = 0;
		timers_fire();
		idle();
	}
}

void loop_end(void)
{
	loop.ended = 1;
}
