/* SPDX-License-Identifier: MIT */
/*
 * Raw system calls about threads, signals and scheduling, with the kernel's
 * own structures where libc has others.
 */
#ifndef SYS_TASK_H
#define SYS_TASK_H

#include <signal.h>
#include <stdint.h>

#include "sys/sys.h"

/* The kernel's signal set: bit n - 1 is signal n. */
#define SYS_SIGNAL_BIT(n) (1ull << ((n) - 1))
#define SYS_SIGNALS 64

struct sys_sigaction {
	void (*handler)(int, siginfo_t *, void *);
	uint64_t flags;
	void (*restorer)(void);
	uint64_t mask;
};

#define SYS_SA_RESTORER 0x04000000u

struct sys_sched_attr {
	uint32_t size;
	uint32_t policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
	uint32_t util_min, util_max;
};

/* signals */
static inline long sys_sigaction(int signal, const struct sys_sigaction *action,
				 struct sys_sigaction *old)
{
	return SYS_CALL(SYS_rt_sigaction, signal, action, old, 8);
}

static inline long sys_sigprocmask(int how, const uint64_t *set, uint64_t *old)
{
	return SYS_CALL(SYS_rt_sigprocmask, how, set, old, 8);
}

static inline long sys_sigpending(uint64_t *set)
{
	return SYS_CALL(SYS_rt_sigpending, set, 8);
}

static inline long sys_sigtimedwait(const uint64_t *set, siginfo_t *info,
				    const struct __kernel_timespec *timeout)
{
	return SYS_CALL(SYS_rt_sigtimedwait, set, info, timeout, 8);
}

static inline long sys_tgsigqueueinfo(int pid, int tid, int signal,
				      const siginfo_t *info)
{
	return SYS_CALL(SYS_rt_tgsigqueueinfo, pid, tid, signal, info);
}

static inline long sys_tgkill(int pid, int tid, int signal)
{
	return SYS_CALL(SYS_tgkill, pid, tid, signal);
}

/* scheduling; 0 is the calling thread */
static inline long sys_sched_getaffinity(int tid, size_t length, uint64_t *mask)
{
	return SYS_CALL(SYS_sched_getaffinity, tid, length, mask);
}

static inline long sys_sched_setaffinity(int tid, size_t length,
					 const uint64_t *mask)
{
	return SYS_CALL(SYS_sched_setaffinity, tid, length, mask);
}

static inline long sys_sched_getattr(int tid, struct sys_sched_attr *attr)
{
	return SYS_CALL(SYS_sched_getattr, tid, attr, sizeof(*attr), 0);
}

static inline long sys_sched_setattr(int tid, const struct sys_sched_attr *attr)
{
	return SYS_CALL(SYS_sched_setattr, tid, attr, 0);
}

static inline long sys_sched_yield(void)
{
	return SYS_CALL(SYS_sched_yield);
}

static inline long sys_prctl(int option, unsigned long a, unsigned long b)
{
	return SYS_CALL(SYS_prctl, option, a, b, 0, 0);
}

static inline long sys_getdents(int fd, void *buffer, size_t length)
{
	return SYS_CALL(SYS_getdents64, fd, buffer, length);
}

#endif
