/* SPDX-License-Identifier: MIT */
/*
 * What a thread alone can tell of itself, and put back in the new life: read
 * by the order of park_capture(), when all stand and nobody changes anything
 * any more. What the new system refuses for lack of rights or of CPUs (a
 * real-time priority, an affinity) stays as it is there; what the program's
 * memory relies on must succeed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "preload/handler/arch/self.h"
#include "preload/handler/stop.h"
#include "preload/preload.h"
#include "sys/string.h"
#include "sys/task.h"

#define RSEQ_SIGNATURE 0x53053053
#define RSEQ_UNREGISTER 1
#define RSEQ_LENGTH_MIN 32

static void fail(struct park_thread *me, long error, const char *what)
{
	if (me->error == 0) {
		me->error = (int32_t)error;
		me->error_what = what;
	}
}

static long rseq(uint64_t area, uint64_t length, int flags)
{
	return SYS_CALL(SYS_rseq, area, length, flags, RSEQ_SIGNATURE);
}

/* There is no way to ask but to unregister: with the right length it works.
 * The kernel wants that of the registration; libc's variable may say less. */
static void capture_rseq(struct park_thread *me)
{
	uint64_t lengths[] = {
		preload.rseq_length,
		RSEQ_LENGTH_MIN,
		(preload.rseq_length + 31) & ~31ull,
	};
	uint64_t area = me->fs_base + (uint64_t)preload.rseq_offset;
	long ret;
	int i;

	me->rseq = 0;
	if (!preload.rseq_length)
		return;
	for (i = 0; i < 3; i++) {
		if (rseq(area, lengths[i], RSEQ_UNREGISTER) < 0)
			continue;
		me->rseq = area;
		me->rseq_length = lengths[i];
		me->rseq_signature = RSEQ_SIGNATURE;
		ret = rseq(area, lengths[i], 0);
		if (ret < 0)
			fail(me, ret, "rseq");
		return;
	}
}

static void capture_scheduling(struct park_thread *me)
{
	struct sys_sched_attr attr = {.size = sizeof(attr)};
	int i;

	if (sys_sched_getattr(0, &attr) == 0) {
		me->sched_policy = (int32_t)attr.policy;
		me->sched_flags = (uint32_t)attr.flags;
		me->sched_priority = (int32_t)attr.priority;
		me->nice = attr.nice;
		me->sched_runtime = attr.runtime;
		me->sched_deadline = attr.deadline;
		me->sched_period = attr.period;
	}
	for (i = 0; i < 16; i++)
		me->affinity[i] = 0;
	sys_sched_getaffinity(0, sizeof(me->affinity), me->affinity);
	me->ioprio = (int32_t)SYS_CALL(SYS_ioprio_get, 1 /* thread */, 0);
	me->timerslack = (uint64_t)sys_prctl(PR_GET_TIMERSLACK, 0, 0);
	sys_prctl(PR_GET_NAME, (unsigned long)me->comm, 0);
}

/* ---- credentials that each thread has for itself */

static long capabilities(long call, uint32_t *six)
{
	struct {
		uint32_t version;
		int32_t tid;
	} head = {0x20080522 /* _LINUX_CAPABILITY_VERSION_3 */, 0};

	return SYS_CALL(call, &head, six);
}

static void capture_credentials(struct park_thread *me)
{
	me->pdeathsig = 0;
	sys_prctl(PR_GET_PDEATHSIG, (unsigned long)&me->pdeathsig, 0);
	if (capabilities(SYS_capget, me->capabilities) < 0)
		fail(me, -EPERM, "capabilities");
}

/* In its capsule an ordinary user's process has every capability; the thread
 * goes on with those it had. What it had and the restart has not stays lost. */
static void revive_credentials(struct park_thread *me)
{
	uint32_t now[6];
	int i, more = 0;

	if (capabilities(SYS_capget, now) == 0) {
		/* permitted, of either half, bounds the others */
		const uint32_t most[2] = {now[1], now[4]};

		for (i = 0; i < 6; i++) {
			more |= now[i] != me->capabilities[i];
			now[i] = me->capabilities[i] & most[i / 3];
		}
		if (more)
			capabilities(SYS_capset, now);
	}
	if (me->pdeathsig)
		sys_prctl(PR_SET_PDEATHSIG, (unsigned long)me->pdeathsig, 0);
}

/* ---- private pending signals */

/* Read piece by piece: the stack may be a tiny one. */
#define PIECE 480
#define OVERLAP 32 /* longer than what is looked for */

uint64_t self_private_pending(void)
{
	char text[OVERLAP + PIECE + 1] = "";
	uint64_t pending = 0;
	size_t keep = 0, i;
	const char *s;
	long ret, fd;

	fd = sys_openat(AT_FDCWD, "/proc/thread-self/status",
			O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return 0;
	while ((ret = sys_read((int)fd, text + keep, PIECE)) > 0) {
		keep += (size_t)ret;
		text[keep] = 0;
		s = sys_find(text, "\nSigPnd:\t");
		if (s && s + 9 + 16 < text + keep) {
			s += 9;
			pending = sys_number(&s, 16);
			break;
		}
		if (keep > OVERLAP) {
			for (i = 0; i < OVERLAP; i++)
				text[i] = text[keep - OVERLAP + i];
			keep = OVERLAP;
		}
	}
	sys_close((int)fd);
	return pending;
}

static int pending_make_room(struct park_thread *me)
{
	size_t old = me->pending_room * sizeof(*me->pending);
	size_t size = old ? old * 2 : 4096;
	long p;

	if (me->pending_count < me->pending_room)
		return 0;
	if (old)
		p = SYS_CALL(SYS_mremap, me->pending, old, size,
			     MREMAP_MAYMOVE);
	else
		p = sys_mmap(NULL, size, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p < 0 && p > -4096)
		return (int)p;
	me->pending = (void *)p;
	me->pending_room = (uint32_t)(size / sizeof(*me->pending));
	return 0;
}

static void pending_queue(struct park_thread *me, int pid)
{
	uint32_t i;
	long ret;

	for (i = 0; i < me->pending_count; i++) {
		const siginfo_t *info = (const void *)me->pending[i];

		ret = sys_tgsigqueueinfo(pid, me->tid, info->si_signo, info);
		if (ret < 0)
			fail(me, ret, "queueing a pending signal again");
	}
}

/* A timer's signal, taken, lets the timer go on: a fast one has the next there
 * at once. That is then a tick more of the one we have. */
static int pending_is_tick(struct park_thread *me, const siginfo_t *tick)
{
	uint32_t i;

	for (i = 0; tick->si_code == SI_TIMER && i < me->pending_count; i++) {
		siginfo_t *info = (void *)me->pending[i];

		if (info->si_code == SI_TIMER &&
		    info->si_signo == tick->si_signo &&
		    info->si_timerid == tick->si_timerid) {
			info->si_overrun += 1 + tick->si_overrun;
			return 1;
		}
	}
	return 0;
}

/* There is no way to look at a queue but to take from it: one at a time, as
 * long as the thread's own has some (it is served before the process's). What
 * comes behind the second tick of a timer has come while we took. A poke of
 * ours is not the program's and is dropped. */
static void capture_pending(struct park_thread *me)
{
	struct __kernel_timespec now = {0, 0};
	uint64_t pending = 0, wanted = ~0ull, bit;
	siginfo_t info;
	int signal, ret;

	me->pending_count = 0;
	sys_sigpending(&pending);
	while (pending && (pending = self_private_pending() & wanted) != 0) {
		signal = __builtin_ctzll(pending) + 1;
		bit = SYS_SIGNAL_BIT(signal);
		if (sys_sigtimedwait(&bit, &info, &now) < 0)
			break;
		if (signal == CKPT_SIGNAL && info.si_code == CKPT_POKE_CODE)
			continue;
		if (pending_is_tick(me, &info)) {
			wanted &= ~bit;
			continue;
		}
		ret = pending_make_room(me);
		if (ret < 0) {
			fail(me, ret, "saving a pending signal");
			sys_tgsigqueueinfo(preload.pid, me->tid, signal, &info);
			break;
		}
		__builtin_memcpy(me->pending[me->pending_count++], &info,
				 sizeof(*me->pending));
	}
	pending_queue(me, preload.pid);
}

void self_capture(struct park_thread *me)
{
	long ret;

	me->fs_base = arch_get_fs();
	me->gs_base = arch_get_gs();
	ret = sys_prctl(PR_GET_TID_ADDRESS, (unsigned long)&me->clear_child_tid,
			0);
	if (ret < 0)
		fail(me, ret, "prctl(PR_GET_TID_ADDRESS)");
	SYS_CALL(SYS_get_robust_list, 0, &me->robust_list, &me->robust_length);
	capture_rseq(me);
	capture_scheduling(me);
	capture_credentials(me);
	capture_pending(me);
}

/* Released, in either life. */
void self_leave(struct park_thread *me)
{
	if (me->pending)
		sys_munmap(me->pending,
			   me->pending_room * sizeof(*me->pending));
	me->pending = NULL;
	me->pending_room = 0;
}

/* ---- the new life */

static void revive_scheduling(struct park_thread *me)
{
	struct sys_sched_attr attr = {.size = sizeof(attr)};
	int deadline = me->sched_policy == 6; /* SCHED_DEADLINE */

	sys_prctl(PR_SET_NAME, (unsigned long)me->comm, 0);
	sys_prctl(PR_SET_TIMERSLACK, me->timerslack, 0);
	if (me->ioprio >= 0)
		SYS_CALL(SYS_ioprio_set, 1, 0, me->ioprio);
	if (me->affinity[0] | me->affinity[1] | me->affinity[2] |
	    me->affinity[3] | me->affinity[4] | me->affinity[5] |
	    me->affinity[6] | me->affinity[7] | me->affinity[8])
		sys_sched_setaffinity(0, sizeof(me->affinity), me->affinity);

	if (sys_sched_getattr(0, &attr) < 0 ||
	    (attr.policy == (uint32_t)me->sched_policy &&
	     attr.nice == me->nice && attr.flags == me->sched_flags &&
	     attr.priority == (uint32_t)me->sched_priority))
		return;
	attr = (struct sys_sched_attr){
		.size = sizeof(attr),
		.policy = (uint32_t)me->sched_policy,
		.flags = me->sched_flags,
		.nice = me->nice,
		.priority = (uint32_t)me->sched_priority,
		.runtime = deadline ? me->sched_runtime : 0,
		.deadline = deadline ? me->sched_deadline : 0,
		.period = deadline ? me->sched_period : 0,
	};
	if (sys_sched_setattr(0, &attr) < 0 && me->nice > 0)
		SYS_CALL(SYS_setpriority, PRIO_PROCESS, 0, me->nice);
}

void self_revive(struct park_thread *me)
{
	long ret;

	arch_set_fs(me->fs_base);
	arch_set_gs(me->gs_base);
	SYS_CALL(SYS_set_tid_address, me->clear_child_tid);
	if (me->robust_length) {
		ret = SYS_CALL(SYS_set_robust_list, me->robust_list,
			       me->robust_length);
		if (ret < 0)
			fail(me, ret, "set_robust_list");
	}
	if (me->rseq) {
		ret = SYS_CALL(SYS_rseq, me->rseq, me->rseq_length, 0,
			       me->rseq_signature);
		if (ret < 0)
			fail(me, ret, "rseq");
	}
	revive_scheduling(me);
	pending_queue(me, preload.pid);
	revive_credentials(me); /* last: the others may need a privilege */
}
