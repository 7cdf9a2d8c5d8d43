/* SPDX-License-Identifier: MIT */
/*
 * On a user thread: it takes the poke or is told by the service thread, stands
 * until it is released, and goes on as if nothing had happened.
 *
 * Little stack (coroutines have tiny ones), no TLS, no errno, no libc.
 */
#define _GNU_SOURCE
#include "preload/handler/poke.h"

#include <linux/futex.h>
#include <sys/resource.h>
#include <time.h>

#include "preload/handler/notices.h"
#include "preload/handler/stop.h"
#include "preload/preload.h"
#include "sys/task.h"

struct stop stop __attribute__((section(".data")));

void stop_wait(uint32_t *word, uint32_t value, uint64_t timeout_ns)
{
	struct __kernel_timespec timeout = {
		.tv_sec = timeout_ns / 1000000000u,
		.tv_nsec = timeout_ns % 1000000000u,
	};

	sys_futex(word, FUTEX_WAIT_PRIVATE, value,
		  timeout_ns ? &timeout : NULL);
}

void stop_wake(uint32_t *word)
{
	sys_futex(word, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL);
}

uint64_t park_started(void)
{
	return stop.started;
}

/* How often the thread has gone to sleep: by that it knows whether a sleep that
 * somebody has seen is the one that our signal ended. */
static uint64_t switches(void)
{
	struct rusage usage;

	if (SYS_CALL(SYS_getrusage, RUSAGE_THREAD, &usage) < 0)
		return 0;
	return (uint64_t)usage.ru_nvcsw;
}

/* What the agent saw before it poked us, if it is true still. */
static void recall(struct park_thread *me, const struct registry_slot *slot,
		   ucontext_t *context)
{
	int64_t nr = (int64_t)slot->poked_call - 1;
	struct registry_call call = calls_of(context, nr);
	uint32_t print = registry_print(&call, switches());
	uint32_t differs = print ^ slot->poked_print;

	if (differs & ~REGISTRY_PRINT_SWITCHES)
		return;
	me->call = call;
	if (!differs)
		me->asleep_since = slot->asleep_since;
}

/* The agent's poke: one thread starts the stop, the others leave it alone,
 * and so do all when the request is an old one (the signal queues). */
static struct park_thread *begin(uint32_t request, uint64_t now,
				 ucontext_t *context)
{
	struct park_thread *me = &stop.first;
	struct registry_slot *slot = preload.slot;
	uint32_t nobody = 0;
	int ret;

	if (!request || request != stop_load(&preload.registry->request) ||
	    request == stop_load(&slot->answered))
		return NULL;
	if (!__atomic_compare_exchange_n(&stop.owner, &nobody, 1, 0,
					 __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		return NULL; /* the last one still ends; we are poked again */
	if (request == stop_load(&slot->answered)) {
		stop_store(&stop.owner, 0);
		return NULL;
	}

	*me = (struct park_thread){
		.tid = sys_gettid(),
		.call.nr = -1,
	};
	if (slot->poked_tid == me->tid && slot->poked_call > 0)
		recall(me, slot, context);
	stop.started = now;
	stop.order = ORDER_HOLD;
	stop.arrived = 0;
	stop.awaited = 0;
	stop.done = 0;
	stop.reborn = 0;
	stop.leader_dead = 0;
	/* From here on there is a stop: the service thread may run before
	 * service_start() returns. */
	stop_store(&stop.request, request);
	ret = notices_take();
	if (ret == 0)
		ret = service_start(request);
	if (ret < 0)
		notices_renew();
	stop_store(&slot->error, ret);
	stop_store(&slot->answered, request);
	if (ret < 0) {
		stop_store(&stop.request, 0);
		stop_store(&stop.owner, 0);
		return NULL;
	}
	return me;
}

/* The service thread's signal. It may come late, when that stop is over. */
static struct park_thread *redeem(uint32_t request, uint32_t ticket)
{
	struct park_thread *me;

	if (request != stop_load(&stop.request))
		return NULL;
	me = records_at(ticket);
	if (!me || me->tid != sys_gettid() ||
	    stop_load(&me->arrived) == request)
		return NULL;
	return me;
}

static void count(uint32_t *counter, uint32_t wake_at)
{
	if (stop_add(counter, 1) == wake_at)
		stop_wake(counter);
}

static void obey(struct park_thread *me)
{
	uint32_t order, last = ORDER_HOLD;

	while ((order = stop_load(&stop.order)) != ORDER_RELEASE) {
		if (order == ORDER_CAPTURE && last != order) {
			self_capture(me);
			count(&stop.done, stop_load(&stop.arrived));
			last = order;
		}
		stop_wait(&stop.order, order, 0);
	}
}

/* A thread that comes back in the new life has done its capture: `order` may
 * say so still. */
static void obey_reborn(void)
{
	uint32_t order;

	while ((order = stop_load(&stop.order)) != ORDER_RELEASE)
		stop_wait(&stop.order, order, 0);
}

static void __attribute__((noinline))
stand(struct park_thread *me, uint32_t request)
{
	if (park_save(&me->jump)) {
		self_revive(me);
		count(&stop.reborn, stop_load(&stop.arrived));
		obey_reborn();
		return;
	}
	/* From here on we count as stopped: the next instruction may run in
	 * another life, on another host. */
	stop_store(&me->arrived, request);
	count(&stop.arrived, stop_load(&stop.awaited));
	obey(me);
}

/* A process that was stopped after the last checkpoint has been woken with the
 * poke for the next one waiting: that service thread still ends, and waits for
 * nobody to be inside. */
static void await_former(uint32_t request)
{
	while (stop_load(&stop.owner) && stop_load(&stop.request) != request &&
	       request == stop_load(&preload.registry->request) &&
	       request != stop_load(&preload.slot->answered))
		stop_wait(&stop.owner, 1, 1000000);
}

void poke_take(uint64_t value, ucontext_t *context)
{
	uint32_t request = (uint32_t)value, ticket = value >> 32;
	struct stop_call call = {
		.nr = -1,
		.stopped = sys_clock_ns(CLOCK_MONOTONIC),
	};
	struct park_thread *me;

	if (!preload.registry)
		return;
	/* A child by raw clone: nobody has told it yet that it is one. */
	if (sys_getpid() != preload.pid)
		preload_forked();

	if (!ticket)
		await_former(request);
	/* In this order: whoever waits for inside == 0 has put an end to the
	 * request before, so either we see that or it sees us. */
	stop_add(&stop.inside, 1);
	me = ticket ? redeem(request, ticket)
		    : begin(request, call.stopped, context);
	if (me) {
		me->context = context;
		if (ticket && me->asleep_since && me->switches != switches())
			me->asleep_since = 0;
		stand(me, request);
		if (calls_same(context, &me->call)) {
			call.nr = me->call.nr;
			call.asleep_since = me->asleep_since;
		}
		if (!ticket)
			notices_renew();
		self_leave(me);
	}
	/* Our record and the service thread may be gone from here on. */
	if (stop_add(&stop.inside, -1) == 0)
		stop_wake(&stop.inside);
	calls_repair(context, &call);
}

void park_forget(void)
{
	/* Read, to write only when we must: fork is to stay cheap. */
	if (!stop.owner && !stop.inside && !stop.service.tid)
		return;
	records_close();
	stop = (struct stop){0};
}
