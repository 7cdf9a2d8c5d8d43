/* SPDX-License-Identifier: MIT */
/*
 * signals, saving and reviving. Kept: all 64 actions as the kernel has them
 * (33 is ours, and comes back as ours), the queue of signals pending for the
 * process with what each carries, in order. What is pending for a thread the
 * thread keeps itself.
 *
 * A queue cannot be read but by taking signals out of it. They go straight
 * back, so there is nothing to undo. What cannot be: a signal of a POSIX
 * timer becomes one that does not count overruns when it is taken at last.
 */
#define _GNU_SOURCE
#include <asm/siginfo.h>
#include <asm/signal.h>
#include <errno.h>

#include <ckpt/plugin.h>

#include "plugins/signals/format.h"
#include "sys/sys.h"

#define SIGNALS_OURS 33
#define SIGNALS_BLOCK 64 /* entries got at once */

struct signals_block {
	struct signals_block *next;
	uint32_t count;
	struct signals_pending pending[SIGNALS_BLOCK];
};

/* Written by capture(), read by revive() in the new life. */
static struct {
	struct signals_action actions[SIGNALS_COUNT];
	struct signals_block *first, *last;
	uint32_t pending_count;
} signals;

static uint64_t signals_bit(int number)
{
	return 1ull << (number - 1);
}

static int32_t signals_number(const struct signals_pending *pending)
{
	int32_t number;

	__builtin_memcpy(&number, pending->info, sizeof(number));
	return number;
}

/* A timer's signal, taken, lets the timer go on: a fast one has the next there
 * at once. That is then a tick more of the one we have. */
static int signals_is_tick(const struct signals_pending *pending)
{
	const siginfo_t *tick = (const void *)pending->info;
	struct signals_block *block;
	uint32_t i;

	if (tick->si_code != SI_TIMER)
		return 0;
	for (block = signals.first; block; block = block->next)
		for (i = 0; i < block->count; i++) {
			siginfo_t *info = (void *)block->pending[i].info;

			if (info->si_code != SI_TIMER ||
			    info->si_signo != tick->si_signo ||
			    info->si_tid != tick->si_tid)
				continue;
			info->si_overrun += 1 + tick->si_overrun;
			return 1;
		}
	return 0;
}

static int signals_add(const struct signals_pending *pending)
{
	struct signals_block *block = signals.last;

	if (!block || block->count == SIGNALS_BLOCK) {
		block = ckpt_reserve(sizeof(*block));
		if (!block)
			return -ENOMEM;
		if (signals.last)
			signals.last->next = block;
		else
			signals.first = block;
		signals.last = block;
	}
	block->pending[block->count++] = *pending;
	signals.pending_count++;
	return 0;
}

/* To our own tid: that queues for the whole process, and only to oneself may
 * one send the codes that are the kernel's. */
static long signals_queue(const struct signals_pending *pending)
{
	int32_t number = signals_number(pending);
	long ret = SYS_CALL(SYS_rt_sigqueueinfo, sys_gettid(), number,
			    pending->info);

	/* The user's limit of queued signals: better without what it says
	 * than not at all. */
	if (ret == -EAGAIN)
		ret = SYS_CALL(SYS_kill, sys_getpid(), number);
	return ret;
}

static int signals_requeue(void)
{
	struct signals_block *block;
	int ret = 0;

	for (block = signals.first; block; block = block->next) {
		uint32_t i;

		for (i = 0; i < block->count; i++) {
			long error = signals_queue(&block->pending[i]);

			if (error < 0 && ret == 0)
				ret = (int)error;
		}
	}
	return ret;
}

/* All but those that nobody can take, and the pokes of our agent. What comes
 * behind the second tick of a timer has come while we took. */
static int signals_drain(void)
{
	uint64_t wanted = ~(signals_bit(SIGKILL) | signals_bit(SIGSTOP) |
			    signals_bit(SIGNALS_OURS));
	struct __kernel_timespec now = {0, 0};

	for (;;) {
		struct signals_pending pending;
		long ret = SYS_CALL(SYS_rt_sigtimedwait, &wanted, pending.info,
				    &now, sizeof(wanted));

		if (ret == -EINTR)
			continue;
		if (ret < 0)
			return ret == -EAGAIN ? 0 : (int)ret;
		if (signals_is_tick(&pending)) {
			wanted &= ~signals_bit(signals_number(&pending));
			continue;
		}
		ret = signals_add(&pending);
		if (ret < 0) {
			signals_queue(&pending);
			return (int)ret;
		}
	}
}

static int signals_capture(struct ckpt_record *out)
{
	struct signals_block *block;
	struct { uint32_t count, pad; } tail = {0, 0};
	int number, ret, requeued;

	signals.first = signals.last = NULL;
	signals.pending_count = 0;
	for (number = 1; number <= SIGNALS_COUNT; number++)
		SYS_CALL(SYS_rt_sigaction, number, NULL,
			 &signals.actions[number - 1], sizeof(uint64_t));
	ret = signals_drain();
	requeued = signals_requeue();
	if (ret < 0 || requeued < 0)
		return ckpt_refuse(ret < 0 ? ret : requeued,
				   "pending signals cannot be saved", NULL);
	tail.count = signals.pending_count;
	ckpt_put(out, signals.actions, sizeof(signals.actions));
	ckpt_put(out, &tail, sizeof(tail));
	for (block = signals.first; block; block = block->next)
		ckpt_put(out, block->pending,
			 block->count * sizeof(*block->pending));
	return 0;
}

static int signals_revive(void)
{
	int number;

	for (number = 1; number <= SIGNALS_COUNT; number++)
		if (number != SIGKILL && number != SIGSTOP)
			SYS_CALL(SYS_rt_sigaction, number,
				 &signals.actions[number - 1], NULL,
				 sizeof(uint64_t));
	return signals_requeue();
}

const struct ckpt_saver signals_saver = {
	.kind = 64,
	.name = "signals",
	.capture = signals_capture,
	.revive = signals_revive,
};
