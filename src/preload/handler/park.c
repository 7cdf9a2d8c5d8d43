/* SPDX-License-Identifier: MIT */
/*
 * On the service thread: bring every other thread of the process into the
 * handler, and let them go again.
 *
 * There is no list of threads to trust: libc's is behind a lock that a parked
 * thread may hold, and other runtimes make threads without it. So look into
 * /proc/self/task until nobody is left. The end is certain, not probable: the
 * kernel counts the threads of the process (the link count of that folder),
 * and when as many as that stand parked there is no one who could make another.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/stat.h>
#include <time.h>

#include "preload/handler/signal.h"
#include "preload/handler/stop.h"
#include "preload/preload.h"
#include "sys/string.h"
#include "sys/task.h"

#define MS 1000000u
#define AGAIN_AFTER (100 * MS)	 /* signal a thread again that did not come */
#define LOOK_FIRST (200 * 1000u) /* then twice as long, up to the next */
#define LOOK_LAST (10 * MS)

struct directory_entry { /* struct linux_dirent64 */
	uint64_t ino;
	int64_t offset;
	uint16_t length;
	uint8_t type;
	char name[];
};

struct round {
	int dir;
	int32_t me, pid;
	uint32_t number; /* of the scan */
	uint32_t live;	 /* threads that were seen in it and can come */
};

static int see(struct round *r, int32_t tid)
{
	uint32_t ticket = records_find(tid);
	struct park_thread *thread;
	int ret;

	if (!ticket) {
		ret = records_add(tid, &ticket);
		if (ret < 0)
			return ret;
		thread = records_at(ticket);
		task_read_call(r->dir, thread);
		if (calls_need_sleep(&thread->call))
			task_read_sleep(r->dir, thread);
	}
	thread = records_at(ticket);
	/* A leader that has ended stays as a zombie while others run. */
	if (tid == r->pid && r->number > 1 && !stop_load(&thread->arrived) &&
	    task_state(r->dir, tid) == 'Z') {
		stop.leader_dead = 1;
		return 0;
	}
	thread->seen = r->number;
	r->live++;
	return 0;
}

static int look(struct round *r)
{
	char buffer[32768] __attribute__((aligned(8)));
	struct directory_entry *entry;
	const char *name;
	long length, at;
	int32_t tid;
	int ret;

	r->number++;
	r->live = 0;
	length = SYS_CALL(SYS_lseek, r->dir, 0, 0);
	while ((length = sys_getdents(r->dir, buffer, sizeof(buffer))) > 0) {
		for (at = 0; at < length; at += entry->length) {
			entry = (struct directory_entry *)(buffer + at);
			name = entry->name;
			tid = (int32_t)sys_number(&name, 10);
			if (!tid || tid == r->me)
				continue;
			ret = see(r, tid);
			if (ret < 0)
				return ret;
		}
	}
	return (int)length;
}

static void call_in(struct round *r)
{
	uint32_t request = stop.request, ticket;
	uint64_t now = sys_clock_ns(CLOCK_MONOTONIC);
	siginfo_t info = {
		.si_signo = CKPT_SIGNAL,
		.si_code = CKPT_POKE_CODE,
	};

	/* glibc may just have put its own handler there. */
	park_signal_arm_again();
	info.si_pid = r->pid;
	/* The first one is on its way by itself. */
	for (ticket = 2; ticket <= records_count(); ticket++) {
		struct park_thread *thread = records_at(ticket);
		uint64_t value = (uint64_t)ticket << 32 | request;

		if (thread->seen != r->number ||
		    stop_load(&thread->arrived) == request ||
		    (thread->signalled &&
		     now - thread->signalled < AGAIN_AFTER))
			continue;
		info.si_ptr = (void *)(uintptr_t)value;
		/* It may have ended (ESRCH), or the user may have too many
		 * signals queued (EAGAIN): both show in the next round. */
		if (sys_tgsigqueueinfo(r->pid, thread->tid, CKPT_SIGNAL,
				       &info) == 0)
			thread->signalled = now;
	}
}

static int everybody(struct round *r)
{
	struct stat st;
	uint32_t arrived = stop_load(&stop.arrived);

	if (SYS_CALL(SYS_fstat, r->dir, &st) < 0)
		return 0;
	return (uint32_t)st.st_nlink - 2 == arrived + 1 + stop.leader_dead;
}

static void wait_arrivals(uint32_t live, uint64_t until)
{
	uint32_t arrived;
	uint64_t now;

	stop_store(&stop.awaited, live);
	while ((arrived = stop_load(&stop.arrived)) < live) {
		now = sys_clock_ns(CLOCK_MONOTONIC);
		if (now >= until)
			break;
		stop_wait(&stop.arrived, arrived, until - now);
	}
}

static void blame(struct round *r, struct park_late *late)
{
	uint32_t ticket;

	for (ticket = 1; ticket <= records_count(); ticket++) {
		struct park_thread *thread = records_at(ticket);

		if (stop_load(&thread->arrived) == stop.request ||
		    (ticket > 1 && thread->seen != r->number))
			continue;
		late->tid = thread->tid;
		late->state = task_state(r->dir, thread->tid);
		task_read_call(r->dir, thread);
		late->syscall = thread->call.nr;
		return;
	}
}

int park_all(uint64_t deadline, struct park_late *late)
{
	struct round r = {
		.dir = task_open(),
		.me = sys_gettid(),
		.pid = sys_getpid(),
	};
	uint64_t now, pause = LOOK_FIRST;
	int ret;

	*late = (struct park_late){.state = '?', .syscall = -1};
	if (r.dir < 0)
		return r.dir;
	ret = records_open();
	if (ret < 0)
		goto out;

	for (;;) {
		task_sleep_begin();
		ret = look(&r);
		task_sleep_end();
		if (ret < 0)
			goto out;
		call_in(&r);
		now = sys_clock_ns(CLOCK_MONOTONIC);
		wait_arrivals(r.live,
			      now + pause < deadline ? now + pause : deadline);
		if (everybody(&r))
			break;
		if (sys_clock_ns(CLOCK_MONOTONIC) >= deadline) {
			blame(&r, late);
			ret = -ETIMEDOUT;
			goto out;
		}
		if (pause < LOOK_LAST)
			pause *= 2;
	}
	ret = records_settle(stop.request);
out:
	sys_close(r.dir);
	return ret;
}

int park_leader_dead(void)
{
	return (int)stop.leader_dead;
}

static void wait_count(uint32_t *counter)
{
	uint32_t value;

	while ((value = stop_load(counter)) < stop.arrived)
		stop_wait(counter, value, 0);
}

static int first_error(const char **what)
{
	size_t i;

	for (i = 0; i < park_count(); i++) {
		struct park_thread *thread = park_thread_at(i);

		if (thread->error < 0) {
			*what = thread->error_what;
			return thread->error;
		}
	}
	return 0;
}

int park_capture(void)
{
	const char *what;

	stop_store(&stop.order, ORDER_CAPTURE);
	stop_wake(&stop.order);
	wait_count(&stop.done);
	return first_error(&what);
}

void park_release(void)
{
	/* Late comers first: who is not in yet shall not come in. */
	stop_store(&stop.request, 0);
	stop_store(&stop.order, ORDER_RELEASE);
	stop_wake(&stop.order);
}

int park_await_reborn(const char **what)
{
	service_revive();
	wait_count(&stop.reborn);
	return first_error(what);
}
