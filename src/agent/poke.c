/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "agent/poke.h"

#include <errno.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/loop.h"
#include "agent/proc.h"

#define THREADS 64 /* enough to find one that takes it */

/* Would the signal reach our handler? Its default action is to kill. *leaderless:
 * the main thread has ended. *stopped: it would only queue up. */
static int takes_pokes(struct member *m, uint32_t request, int *leaderless,
		       int *stopped)
{
	struct proc_status status;

	if (m->slot &&
	    (__atomic_load_n(&m->slot->state, __ATOMIC_ACQUIRE) != SLOT_LIVE ||
	     __atomic_load_n(&m->slot->answered, __ATOMIC_ACQUIRE) == request))
		return 0;
	if (proc_status(m->pid, &status) < 0)
		return 0;
	if (status.state == 't' || (status.state == 'T' && status.tracer)) {
		if (!m->held_since)
			m->held_since = loop_now();
		return 0;
	}
	m->held_since = 0;
	*stopped = status.state == 'T';
	/* Its service thread may be stopped with it since the last time: it
	 * ends when it is woken, and the poke waits for that. */
	if (m->leaving && !*stopped)
		return 0;
	*leaderless = status.state == 'Z';
	return status.caught >> (CKPT_SIGNAL - 1) & 1;
}

/* What the thread cannot know any more once the signal has come. poked_tid
 * last and taken away first: the rest is of that thread, or not looked at. */
static void slot_fill(struct registry_slot *slot, pid_t pid, pid_t tid)
{
	struct registry_call call;
	uint64_t switches;

	__atomic_store_n(&slot->poked_tid, 0, __ATOMIC_SEQ_CST);
	slot->error = 0;
	proc_call(pid, tid, &call);
	slot->asleep_since = proc_asleep_since(pid, tid, &switches);
	slot->poked_call = (int32_t)call.nr + 1;
	slot->poked_print = registry_print(&call, switches);
	__atomic_store_n(&slot->poked_tid, tid, __ATOMIC_SEQ_CST);
}

int poke(struct member *m, uint32_t request, unsigned attempt, int wake)
{
	siginfo_t info = {0};
	pid_t tids[THREADS], tid = m->pid;
	int count, leaderless, stopped;

	if (!takes_pokes(m, request, &leaderless, &stopped))
		return POKE_LATER;
	if (stopped && !wake)
		return POKE_STOPPED;
	if (attempt > 0 || leaderless) {
		count = proc_threads(m->pid, tids, THREADS);
		if (count <= 0)
			return POKE_LATER;
		tid = tids[attempt % (unsigned)count];
	}
	if (m->slot)
		slot_fill(m->slot, m->pid, tid);
	info.si_signo = CKPT_SIGNAL;
	info.si_code = CKPT_POKE_CODE;
	info.si_pid = getpid();
	info.si_uid = getuid();
	info.si_int = (int)request;
	if (syscall(SYS_rt_tgsigqueueinfo, m->pid, tid, CKPT_SIGNAL, &info) < 0)
		return errno == ESRCH || errno == EAGAIN ? POKE_LATER : -errno;
	/* Nothing of the program runs in that thread before our handler does. */
	if (stopped &&
	    syscall(SYS_pidfd_send_signal, m->pidfd.fd, SIGCONT, NULL, 0) < 0)
		return errno == ESRCH ? POKE_LATER : -errno;
	return POKE_SENT;
}
