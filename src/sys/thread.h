/* SPDX-License-Identifier: MIT */
/*
 * Helper threads without libc. They share all with the process, have a block
 * in place of libc's TLS (code compiled with the stack protector reads its
 * canary there), and end by returning.
 *
 * All signals should be blocked in the one who starts them.
 */
#ifndef SYS_THREAD_H
#define SYS_THREAD_H

#include <linux/futex.h>
#include <linux/sched.h>
#include <stddef.h>
#include <stdint.h>

#include "sys/sys.h"

struct sys_thread {
	/* The tid while it lives; the kernel clears it and wakes its waiters
	 * when nothing of the thread is left in user space. */
	uint32_t tid;
	uint32_t pad;
	uint64_t tls[8]; /* [0] points to itself, [5] is the canary */
};

#include "sys/arch/thread.h"

#define SYS_THREAD_FLAGS                                                       \
	(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |    \
	 CLONE_SYSVSEM | CLONE_SETTLS | CLONE_CHILD_CLEARTID |                 \
	 CLONE_PARENT_SETTID)

/* run(argument) on `stack`. want_tid: 0, or the tid it must have (needs
 * clone3). Its tid or -errno. */
static inline long sys_thread_start(struct sys_thread *t, void *stack,
				    size_t stack_size, int want_tid,
				    void (*run)(void *), void *argument)
{
	struct sys_clone_args c = {
		.flags = SYS_THREAD_FLAGS,
		.child_tid = (uint64_t)(uintptr_t)&t->tid,
		.parent_tid = (uint64_t)(uintptr_t)&t->tid,
		.stack = (uint64_t)(uintptr_t)stack,
		.stack_size = stack_size,
		.tls = (uint64_t)(uintptr_t)t->tls,
		.set_tid = (uint64_t)(uintptr_t)&want_tid,
		.set_tid_size = want_tid != 0,
	};

	t->tls[0] = (uint64_t)(uintptr_t)t->tls;
	t->tls[5] = 0x5bd1e9955bd1e900;
	return want_tid ? sys_thread_clone3(&c, run, argument)
			: sys_thread_clone(&c, run, argument);
}

/* Waits until it has ended. timeout: NULL or relative; 1: it runs still. */
static inline int sys_thread_wait(struct sys_thread *t,
				  const struct __kernel_timespec *timeout)
{
	uint32_t tid;

	while ((tid = __atomic_load_n(&t->tid, __ATOMIC_ACQUIRE)) != 0) {
		/* Not private: that is how the kernel wakes. */
		sys_futex(&t->tid, FUTEX_WAIT, tid, timeout);
		if (timeout)
			return __atomic_load_n(&t->tid, __ATOMIC_ACQUIRE) != 0;
	}
	return 0;
}

#endif
