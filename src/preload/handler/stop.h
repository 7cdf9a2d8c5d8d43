/* SPDX-License-Identifier: MIT */
/*
 * The stop under way, for the files of this room. All of it lies in our data
 * and so in the image: the new life goes on with it.
 *
 * Who waits for whom, always by futex:
 *	threads		on `order`, until the service thread changes it
 *	service thread	on `arrived`, `done` or `reborn`, until enough threads
 *			have counted themselves
 *	service thread	at its end on `inside`, until no thread is in the
 *			handler any more: then the records may go
 */
#ifndef STOP_H
#define STOP_H

#include <stdint.h>

#include "preload/handler/park.h"
#include "sys/thread.h"

enum stop_order {
	ORDER_HOLD = 1, /* stay */
	ORDER_CAPTURE,	/* save what only you can, count yourself, stay */
	ORDER_RELEASE,	/* go */
};

struct stop {
	uint32_t owner;	  /* 1 from the poke taken to the service's end */
	uint32_t request; /* who is signalled with this one parks; 0: nobody */
	uint32_t order;	  /* enum stop_order; futex */
	uint32_t inside;  /* threads in the handler; futex */
	uint32_t arrived; /* threads that stand; futex */
	uint32_t awaited; /* the arrival that wakes the service thread */
	uint32_t done;	  /* have followed ORDER_CAPTURE; futex */
	uint32_t reborn;  /* have put back what is theirs; futex */
	uint32_t leader_dead;
	uint64_t started; /* CLOCK_MONOTONIC ns: the poke was handled */
	struct sys_thread service; /* its tid word tells when it is gone */
	struct park_thread first; /* of the thread that took the poke: there
				   * is no arena yet when it arrives */
};

extern struct stop stop;

#define stop_load(p) __atomic_load_n(p, __ATOMIC_SEQ_CST)
#define stop_store(p, v) __atomic_store_n(p, v, __ATOMIC_SEQ_CST)
#define stop_add(p, v) __atomic_add_fetch(p, v, __ATOMIC_SEQ_CST)

void stop_wait(uint32_t *word, uint32_t value, uint64_t timeout_ns);
void stop_wake(uint32_t *word);

/* records.c: one for each thread that was ever seen in this stop. Tickets
 * count from 1 (the first thread's) and travel in the signal's value. */
int records_open(void); /* with the first one in it */
void records_close(void);
uint32_t records_count(void);
struct park_thread *records_at(uint32_t ticket);
uint32_t records_find(int32_t tid); /* ticket, 0: none */
int records_add(int32_t tid, uint32_t *ticket);
/* Everybody has arrived: what park_thread_at() counts. */
int records_settle(uint32_t request);

/* service.c */
int service_start(uint32_t request);
void service_revive(void);

/* self.c: on the thread itself */
void self_capture(struct park_thread *me);
void self_revive(struct park_thread *me);
void self_leave(struct park_thread *me);
uint64_t self_private_pending(void); /* kernel's set; 0 without /proc */

/* task.c: what /proc says of a thread. `dir` is /proc/self/task. */
int task_open(void);
void task_read_call(int dir, struct park_thread *thread);
void task_read_sleep(int dir, struct park_thread *thread);
char task_state(int dir, int32_t tid);
void task_sleep_begin(void); /* before the first task_read_sleep() of a pass */
void task_sleep_end(void);

/* calls.c: what to do about an interrupted system call */
struct stop_call {
	int64_t nr; /* it has been seen in this one; -1: not known */
	uint64_t asleep_since;
	uint64_t stopped; /* CLOCK_MONOTONIC ns: our signal was handled */
};
int calls_need_sleep(const struct registry_call *call);
/* Is that the call that the signal has interrupted? */
int calls_same(ucontext_t *context, const struct registry_call *call);
/* The call that the signal has interrupted if that was nr. */
struct registry_call calls_of(ucontext_t *context, int64_t nr);
void calls_repair(ucontext_t *context, const struct stop_call *call);

#endif
