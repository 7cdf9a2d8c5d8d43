/* SPDX-License-Identifier: MIT */
/*
 * timerfd, restoring. A relative timer gets the time that was left. One set
 * to a point in time keeps that point: on the clock of the day always; on a
 * monotonic clock when it has gone on from where it was (the capsule sees to
 * that), else the time that was left.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <ckpt/plugin.h>

#include "plugins/timerfd/format.h"

#ifndef TFD_IOC_SET_TICKS
#define TFD_IOC_SET_TICKS _IOW('T', 0, uint64_t)
#endif

#define SECOND 1000000000u

static int timerfd_open(struct ckpt_restore *r, const struct ckpt_object *object)
{
	const struct timerfd_record *record = object->body;
	int fd;

	(void)r;
	if (object->length < sizeof(*record))
		return -EBADMSG;
	fd = timerfd_create(record->clock, TFD_CLOEXEC);
	if (fd < 0 && errno == EPERM)
		/* The alarm clocks need CAP_WAKE_ALARM; without, it still
		 * counts, but wakes no sleeping machine. */
		fd = timerfd_create(record->clock == CLOCK_REALTIME_ALARM ?
					    CLOCK_REALTIME :
					    CLOCK_BOOTTIME,
				    TFD_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static uint64_t timerfd_now(int clock)
{
	struct timespec now = {0, 0};

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * SECOND + (uint64_t)now.tv_nsec;
}

static struct timespec timerfd_spec(uint64_t ns)
{
	return (struct timespec){(time_t)(ns / SECOND), (long)(ns % SECOND)};
}

/* Where the kernel cannot set ticks (no CONFIG_CHECKPOINT_RESTORE): begin as
 * many intervals earlier; the kernel counts those that have passed. */
static int timerfd_backdate(int fd, const struct timerfd_record *record)
{
	uint64_t now = timerfd_now(record->clock);
	uint64_t back = record->interval * record->ticks;
	uint64_t start = now + record->left;
	struct itimerspec spec = {.it_interval = timerfd_spec(record->interval)};

	start = record->left && record->interval && start > back ?
			start - back :
			1;
	spec.it_value = timerfd_spec(start);
	return timerfd_settime(fd, TFD_TIMER_ABSTIME, &spec, NULL) < 0 ? -errno :
									 0;
}

static int timerfd_connect(struct ckpt_restore *r,
			   const struct ckpt_object *object, int fd)
{
	const struct timerfd_record *record = object->body;
	uint64_t now = timerfd_now(record->clock);
	struct itimerspec spec = {
		.it_value = timerfd_spec(record->left),
		.it_interval = timerfd_spec(record->interval),
	};
	int flags = 0;

	if (!record->left && !record->ticks)
		return 0;
	if (record->left && (record->flags & TFD_TIMER_ABSTIME) &&
	    now >= record->saved_at) {
		flags = (int)record->flags;
		spec.it_value = timerfd_spec(record->saved_at + record->left);
	}
	if (timerfd_settime(fd, flags, &spec, NULL) < 0) {
		ckpt_report(r, "%s: its timer cannot be set: %m", object->label);
		return -errno;
	}
	if (record->ticks &&
	    ioctl(fd, TFD_IOC_SET_TICKS, &record->ticks) < 0)
		return timerfd_backdate(fd, record);
	return 0;
}

static void timerfd_show(const struct ckpt_object *object, char *line,
			 size_t size)
{
	const struct timerfd_record *record = object->body;

	if (object->length >= sizeof(*record))
		snprintf(line, size,
			 "clock %d, %llu ticks, %.3f s left, every %.3f s",
			 record->clock, (unsigned long long)record->ticks,
			 (double)record->left / SECOND,
			 (double)record->interval / SECOND);
}

const struct ckpt_restorer timerfd_restorer = {
	.kind = 70,
	.name = "timerfd",
	.open = timerfd_open,
	.connect = timerfd_connect,
	.show = timerfd_show,
	.no_position = 1,
};
