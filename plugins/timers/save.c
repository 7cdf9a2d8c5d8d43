/* SPDX-License-Identifier: MIT */
/*
 * timers, saving and reviving. Kept: the three interval timers and the POSIX
 * timers with their ids, clock, signal and value, time left, interval. In the
 * process that runs on nothing is touched.
 * Not kept: the overrun count of the last signal delivered, and that a timer
 * was set to a point in time: it has the time that was left.
 */
#define _GNU_SOURCE
#include <linux/stat.h>

#include <ckpt/plugin.h>

#include "plugins/fdinfo.h"
#include "plugins/timers/format.h"
#include "sys/sys.h"

#define TIMERS_BLOCK 64
#define TIMERS_BLIND 256	 /* ids tried where /proc does not tell */
#define TIMERS_SEARCH 10000000	 /* how far an id may be counted up to */

/* linux/signal.h in our own words: it fights with the headers of libc. */
#define NOTIFY_SIGNAL 0
#define NOTIFY_NONE 1
#define NOTIFY_THREAD_ID 4

/* prctl since 6.15: timer_create() takes the id that stands in *id. */
#define RESTORE_IDS 77
#define RESTORE_IDS_OFF 0
#define RESTORE_IDS_ON 1

struct timers_event { /* the kernel's struct sigevent */
	uint64_t value;
	int32_t signal, notify, tid;
	int32_t pad[11];
};
_Static_assert(sizeof(struct timers_event) == 64, "struct sigevent");

struct timers_block {
	struct timers_block *next;
	uint32_t count;
	uint32_t pad;
	struct timers_posix timers[TIMERS_BLOCK];
};

/* Written by capture(), read by revive() in the new life. */
static struct {
	struct timers_interval interval[3];
	struct timers_block *first, *last;
	uint32_t count;
	int no_restore_ids; /* CKPT_MASK */
} timers;

static int timers_add(const struct timers_posix *timer)
{
	struct timers_block *block = timers.last;

	if (!block || block->count == TIMERS_BLOCK) {
		block = ckpt_reserve(sizeof(*block));
		if (!block)
			return -ENOMEM;
		if (timers.last)
			timers.last->next = block;
		else
			timers.first = block;
		timers.last = block;
	}
	block->timers[block->count++] = *timer;
	timers.count++;
	return 0;
}

static int timers_time(struct timers_posix *timer)
{
	struct __kernel_itimerspec spec;
	long ret = SYS_CALL(SYS_timer_gettime, timer->id, &spec);

	if (ret < 0)
		return (int)ret;
	timer->interval_s = spec.it_interval.tv_sec;
	timer->interval_ns = spec.it_interval.tv_nsec;
	timer->left_s = spec.it_value.tv_sec;
	timer->left_ns = spec.it_value.tv_nsec;
	return 0;
}

static int32_t timers_integer(const char *at)
{
	int negative = *at == '-';

	at += negative;
	return negative ? -(int32_t)sys_number(&at, 10) :
			  (int32_t)sys_number(&at, 10);
}

/* One entry of /proc/self/timers:
 *	ID: 0
 *	signal: 14/0000000000000000
 *	notify: signal/pid.4711		(none, thread; tid for THREAD_ID)
 *	ClockID: 1
 */
static int timers_parse(const char *entry, struct timers_posix *timer)
{
	const char *at = fdinfo_find(entry, "ID");

	__builtin_memset(timer, 0, sizeof(*timer));
	if (!at)
		return -EBADMSG;
	timer->id = timers_integer(at);
	at = fdinfo_find(entry, "signal");
	if (!at)
		return -EBADMSG;
	timer->signal = (int32_t)sys_number(&at, 10);
	if (*at == '/')
		at++;
	timer->value = sys_number(&at, 16);
	at = fdinfo_find(entry, "notify");
	if (!at)
		return -EBADMSG;
	timer->notify = sys_starts(at, "none") ? NOTIFY_NONE : NOTIFY_SIGNAL;
	at = sys_find(at, "/");
	if (at && sys_starts(at, "/tid.")) {
		timer->notify |= NOTIFY_THREAD_ID;
		timer->tid = timers_integer(at + 5);
	}
	at = fdinfo_find(entry, "ClockID");
	if (!at)
		return -EBADMSG;
	timer->clock = timers_integer(at);
	return timers_time(timer);
}

/* The CPU clock of "the calling thread" is that of whoever made the timer,
 * which nothing tells: most likely the thread that gets the signal. Named, it
 * can be asked for by another thread. */
static void timers_name_thread(struct timers_posix *timer)
{
	uint32_t tid = (uint32_t)(timer->tid ? timer->tid : sys_getpid());

	if (timer->clock == 3 || timer->clock == -2)
		timer->clock = (int32_t)(~tid << 3 | 6);
}

/* Where the kernel does not list them, they must not be lost in silence. */
static int timers_blind(void)
{
	struct __kernel_itimerspec spec;
	int id;

	for (id = 0; id < TIMERS_BLIND; id++)
		if (SYS_CALL(SYS_timer_gettime, id, &spec) == 0)
			return ckpt_refuse(-EOPNOTSUPP,
					   "POSIX timers cannot be saved: this "
					   "kernel has no /proc/self/timers",
					   NULL);
	return 0;
}

static char *timers_next_entry(char *text)
{
	for (; *text; text++)
		if (sys_starts(text, "\nID:"))
			return text + 1;
	return NULL;
}

static int timers_take(const char *entry)
{
	struct timers_posix timer;
	int ret = timers_parse(entry, &timer);

	if (ret < 0)
		return ret;
	timers_name_thread(&timer);
	return timers_add(&timer);
}

/* Entries are whole when the next one has begun, or at the end. */
static int timers_read(int fd)
{
	static char text[4096];
	size_t held = 0;
	long got;

	do {
		char *entry = text, *next;
		int ret;

		got = sys_read(fd, text + held, sizeof(text) - 1 - held);
		if (got < 0)
			return (int)got;
		held += (size_t)got;
		text[held] = 0;
		while (held) {
			next = timers_next_entry(entry);
			if (!next && got > 0)
				break;
			if (next)
				next[-1] = 0;
			ret = timers_take(entry);
			if (ret < 0)
				return ret;
			if (!next)
				return 0;
			entry = next;
		}
		held -= (size_t)(entry - text);
		__builtin_memmove(text, entry, held + 1);
	} while (got > 0);
	return 0;
}

static int timers_capture(struct ckpt_record *out)
{
	struct { uint32_t count, pad; } head = {0, 0};
	struct timers_block *block;
	long fd;
	int which, ret;

	timers.first = timers.last = NULL;
	timers.count = 0;
	timers.no_restore_ids = ckpt_masked("timer_ids");
	for (which = 0; which < 3; which++)
		SYS_CALL(SYS_getitimer, which, &timers.interval[which]);
	fd = sys_openat(AT_FDCWD, "/proc/self/timers", O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0) {
		ret = timers_blind();
	} else {
		ret = timers_read((int)fd);
		sys_close((int)fd);
		if (ret < 0)
			ckpt_refuse(ret, "POSIX timers cannot be read", NULL);
	}
	if (ret < 0)
		return ret;
	head.count = timers.count;
	ckpt_put(out, timers.interval, sizeof(timers.interval));
	ckpt_put(out, &head, sizeof(head));
	for (block = timers.first; block; block = block->next)
		ckpt_put(out, block->timers,
			 block->count * sizeof(*block->timers));
	return 0;
}

/* Ids count up in a process: make and drop until ours comes. */
static int timers_create(const struct timers_posix *timer, int by_id)
{
	struct timers_event event = {
		.value = timer->value, .signal = timer->signal,
		.notify = timer->notify, .tid = timer->tid,
	};
	int tries;

	for (tries = 0; tries < TIMERS_SEARCH; tries++) {
		int32_t id = timer->id;
		long ret = SYS_CALL(SYS_timer_create, timer->clock, &event, &id);

		if (ret < 0)
			return (int)ret;
		if (id == timer->id)
			return 0;
		SYS_CALL(SYS_timer_delete, id);
		if (by_id || id > timer->id)
			return -EEXIST;
	}
	return -ERANGE;
}

static int timers_arm(const struct timers_posix *timer)
{
	struct __kernel_itimerspec spec = {
		.it_interval = {timer->interval_s, timer->interval_ns},
		.it_value = {timer->left_s, timer->left_ns},
	};

	return (int)SYS_CALL(SYS_timer_settime, timer->id, 0, &spec, NULL);
}

/* Lowest id first: the search above only goes up. */
static struct timers_posix *timers_above(int32_t id)
{
	struct timers_posix *best = NULL;
	struct timers_block *block;

	for (block = timers.first; block; block = block->next) {
		uint32_t i;

		for (i = 0; i < block->count; i++) {
			struct timers_posix *timer = &block->timers[i];

			if (timer->id > id && (!best || timer->id < best->id))
				best = timer;
		}
	}
	return best;
}

static int timers_revive(void)
{
	struct timers_posix *timer = NULL;
	int which, by_id, ret = 0;

	by_id = !timers.no_restore_ids &&
		SYS_CALL(SYS_prctl, RESTORE_IDS, RESTORE_IDS_ON, 0, 0, 0) == 0;
	while ((timer = timers_above(timer ? timer->id : -1)) != NULL) {
		ret = timers_create(timer, by_id);
		if (ret == 0)
			ret = timers_arm(timer);
		if (ret < 0) {
			ckpt_refuse(ret, "a POSIX timer cannot be made again",
				    NULL);
			break;
		}
	}
	if (by_id)
		SYS_CALL(SYS_prctl, RESTORE_IDS, RESTORE_IDS_OFF, 0, 0, 0);
	for (which = 0; which < 3 && ret == 0; which++)
		ret = (int)SYS_CALL(SYS_setitimer, which,
				    &timers.interval[which], NULL);
	return ret;
}

const struct ckpt_saver timers_saver = {
	.kind = 65,
	.name = "timers",
	.capture = timers_capture,
	.revive = timers_revive,
};
