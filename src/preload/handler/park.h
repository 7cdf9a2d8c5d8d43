/* SPDX-License-Identifier: MIT */
/*
 * Parking: every thread of the process stands in our signal handler, on its
 * own signal frame, until it is released, here or in another life.
 *
 * The handler room (park_*) runs on user threads at any instruction. The
 * frozen room drives it from the service thread. Both live on sys_* alone.
 */
#ifndef PARK_H
#define PARK_H

#include <stddef.h>
#include <stdint.h>
#include <sys/ucontext.h>

#include "image/format.h"
#include "wire/registry.h"

/* setjmp for parked tasks: 0 at first, 1 when it comes back by the bare
 * restorer. In handler/arch/x86_64/jump.S. */
int park_save(struct image_jump *jump) __attribute__((returns_twice));

/* One parked thread. Written by the thread itself until it has arrived, read
 * by the service thread after. Part of the image: a reborn thread puts back
 * from here what the kernel forgot, on that thread. */
struct park_thread {
	int32_t tid;
	uint32_t arrived;	/* request it arrived for */
	struct image_jump jump; /* where it waits */
	ucontext_t *context;	/* the kernel's frame on its stack */
	uint32_t seen;		/* service thread: the scan that saw it last */
	uint32_t pad;
	uint64_t signalled;	/* service thread: when, 0: not yet */
	/* What it was doing before the signal (service thread writes, for
	 * the first thread the agent by way of the registry). */
	struct registry_call call; /* nr -1: none, or unknown */
	uint64_t asleep_since;	/* CLOCK_MONOTONIC ns, 0: unknown */
	uint64_t switches;	/* voluntary ones, read with asleep_since */
	/* What the kernel knows of it: saved by park_capture(), put back
	 * reborn. */
	uint64_t fs_base, gs_base;
	uint64_t clear_child_tid;
	uint64_t robust_list, robust_length;
	uint64_t rseq, rseq_length, rseq_signature; /* 0: not registered */
	char comm[16];
	int32_t nice, sched_policy, sched_priority, ioprio;
	uint32_t sched_flags;
	int32_t error;		/* -errno: what it could not save or put back */
	const char *error_what;
	uint64_t sched_runtime, sched_deadline, sched_period;
	uint64_t timerslack;
	uint64_t affinity[16];	/* 1024 CPUs; all zero: none read */
	int32_t pdeathsig;
	uint32_t capabilities[6]; /* as capget() gives them, twice three */
	/* Private pending signals, re-queued in order: siginfo_t each. */
	uint32_t pending_count;
	uint32_t pending_room;
	unsigned char (*pending)[128]; /* a mapping of its own */
};

/* ---- for the frozen room: called on the service thread ---- */

/* Park all threads but the calling (service) one. `first` took the poke and
 * is on its way already. 0, or -errno with the tid that was late (and what
 * /proc said of it) in `late`; then everybody has to be released still. */
struct park_late {
	int32_t tid;	 /* 0: nobody is to blame, /proc is not there */
	char state;	 /* of /proc/PID/task/TID/stat: R, D, T, t ... */
	int64_t syscall; /* it sits in; -1 */
};
int park_all(uint64_t deadline, struct park_late *late); /* CLOCK_MONOTONIC ns */
/* All have arrived: each saves what only itself can (private pending signals
 * included) and waits again. Returns when all have: 0, or the first -errno
 * (park_thread.error and .error_what). */
int park_capture(void);
/* The records, in no order; valid from park_all() to park_release(). The
 * leader's is missing when it is dead. */
size_t park_count(void);
struct park_thread *park_thread_at(size_t index);
int park_leader_dead(void);
/* Let everybody go. In both lives. Afterwards no record is touched. Calling
 * it again does nothing. */
void park_release(void);
/* In the new life, on the service thread, before anything else: gives that
 * thread itself its FS base and tid address back; waits until every thread
 * has left the restorer's memory and has put back what is its own. Returns 0,
 * or the first -errno with the text of what failed in *what. */
int park_await_reborn(const char **what);

/* Time at which the first signal of this stop was handled, ns monotonic. */
uint64_t park_started(void);

/* In a child by fork or raw clone, which has none of the threads: forget the
 * stop that may have been under way in the parent. */
void park_forget(void);

/* ---- what the handler needs of the frozen room ---- */

/* On the new service thread, on its own stack (frozen/service.c). `request`
 * is what the poke carried. When it returns, the thread exits and the process
 * is dormant again. */
void frozen_service(uint32_t request);

#endif
