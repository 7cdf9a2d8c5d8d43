/* SPDX-License-Identifier: MIT */
/*
 * What System V semaphores would get back when this process ends (SEM_UNDO):
 * the kernel keeps the sums, and nobody can read them. So we add them up, for
 * plugins/sysv to have the kernel add them up again in the next life.
 *
 * Not seen: calls that do not come through libc's functions; what SETVAL or
 * SETALL of another process has cleared; the sums from before an exec. A
 * thread that is stopped between the call and our addition is a sum short.
 */
#define _GNU_SOURCE
#include <errno.h>

#include "preload/preload.h"
#include "preload/wrap/real.h"

struct preload_undo preload_undo;

/* The kernel gives a child by fork none of them. */
static void begin(int32_t pid)
{
	int32_t before = __atomic_load_n(&preload_undo.pid, __ATOMIC_ACQUIRE);
	uint32_t i;

	if (before == pid)
		return;
	for (i = 0; before && i < PRELOAD_UNDO_MAX; i++)
		preload_undo.sums[i] = (struct preload_undo_sum){0};
	preload_undo.full = 0;
	__atomic_store_n(&preload_undo.pid, pid, __ATOMIC_RELEASE);
}

static void add(uint64_t key, int32_t value)
{
	uint32_t at = (uint32_t)(key * 0x9e3779b97f4a7c15ull >> 32), i;

	for (i = 0; i < PRELOAD_UNDO_MAX; i++) {
		struct preload_undo_sum *s =
			&preload_undo.sums[(at + i) % PRELOAD_UNDO_MAX];
		uint64_t found = 0;

		if (!__atomic_compare_exchange_n(&s->key, &found, key, 0,
						 __ATOMIC_ACQ_REL,
						 __ATOMIC_ACQUIRE) &&
		    found != key)
			continue;
		__atomic_add_fetch(&s->value, value, __ATOMIC_RELAXED);
		return;
	}
	preload_undo.full = 1;
}

static int note(int ret, int id, const struct sembuf *ops, size_t count)
{
	size_t i;

	for (i = 0; ret == 0 && i < count; i++) {
		if (!(ops[i].sem_flg & SEM_UNDO) || !ops[i].sem_op)
			continue;
		begin(preload.pid);
		add(PRELOAD_UNDO_KEY(id, ops[i].sem_num), ops[i].sem_op);
	}
	return ret;
}

int semop(int id, struct sembuf *ops, size_t count)
{
	return note(real()->semop(id, ops, count), id, ops, count);
}

int semtimedop(int id, struct sembuf *ops, size_t count,
	       const struct timespec *timeout)
{
	return note(real()->semtimedop(id, ops, count, timeout), id, ops,
		    count);
}
