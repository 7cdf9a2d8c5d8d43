/* SPDX-License-Identifier: MIT */
/*
 * The service thread: started in the handler by the thread that takes a poke,
 * gone when the checkpoint is over. It has its own copy of the descriptor
 * table, a stack in .bss and a block of words in place of libc's TLS.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <linux/sched.h>
#include <sys/resource.h>
#include <time.h>

#include "preload/handler/arch/self.h"
#include "preload/handler/stop.h"
#include "preload/preload.h"
#include "sys/task.h"
#include "sys/thread.h"

#define STACK_SIZE (256u << 10)

static unsigned char stack[STACK_SIZE] __attribute__((aligned(4096)));

/* Until the frozen room is linked in, a poke does nothing. */
__attribute__((weak)) void frozen_service(uint32_t request)
{
	(void)request;
}

static void run(void *request)
{
	uint64_t all = ~0ull;
	uint32_t inside;

	sys_sigprocmask(SIG_SETMASK, &all, NULL);
	frozen_service((uint32_t)(uintptr_t)request);
	park_release();
	while ((inside = stop_load(&stop.inside)) != 0)
		stop_wait(&stop.inside, inside, 0);
	records_close();
	/* The next poke waits for stop.service.tid, so it may come now. */
	stop_store(&stop.owner, 0);
}

/* The user has as many processes as the program has limited itself to: once
 * more with the limit as far up as it goes, for that one call. */
static long clone_beyond_limit(const struct sys_clone_args *c, uint32_t request)
{
	struct rlimit limit, most;
	long ret;

	if (SYS_CALL(SYS_prlimit64, 0, RLIMIT_NPROC, NULL, &limit) < 0 ||
	    limit.rlim_cur == limit.rlim_max)
		return -EAGAIN;
	most = limit;
	most.rlim_cur = most.rlim_max;
	SYS_CALL(SYS_prlimit64, 0, RLIMIT_NPROC, &most, NULL);
	ret = sys_thread_clone(c, run, (void *)(uintptr_t)request);
	SYS_CALL(SYS_prlimit64, 0, RLIMIT_NPROC, &limit, NULL);
	return ret;
}

int service_start(uint32_t request)
{
	struct sys_clone_args c = {
		.flags = SYS_THREAD_FLAGS & ~CLONE_FILES,
		.child_tid = (uint64_t)(uintptr_t)&stop.service.tid,
		.parent_tid = (uint64_t)(uintptr_t)&stop.service.tid,
		.stack = (uint64_t)(uintptr_t)stack,
		.stack_size = STACK_SIZE,
		.tls = (uint64_t)(uintptr_t)stop.service.tls,
	};
	long ret;

	/* Its owner bit is free, so it has two instructions left at most. */
	sys_thread_wait(&stop.service, NULL);
	stop.service.tls[0] = (uint64_t)(uintptr_t)stop.service.tls;
	stop.service.tls[2] = stop.service.tls[0];
	stop.service.tls[5] = 0x5bd1e9955bd1e900;
	ret = sys_thread_clone(&c, run, (void *)(uintptr_t)request);
	if (ret == -EAGAIN)
		ret = clone_beyond_limit(&c, request);
	return ret < 0 ? (int)ret : 0;
}

/* In the new life the kernel knows neither. */
void service_revive(void)
{
	SYS_CALL(SYS_set_tid_address, &stop.service.tid);
	stop.service.tid = (uint32_t)sys_gettid();
	arch_set_fs((uint64_t)(uintptr_t)stop.service.tls);
}
