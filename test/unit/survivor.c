// SPDX-License-Identifier: MIT
/* Code and data of this are the program that test_bare.c restores: it looks
 * around and says by its exit status what is not as it was. */
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "sys/sys.h"
#include "test/unit/survivor.h"

_Noreturn void survivor_main(struct survivor *s, long index, long one);

static void arrive(struct survivor *s, int right)
{
	if (!right)
		__atomic_add_fetch(&s->wrong, 1, __ATOMIC_SEQ_CST);
	__atomic_add_fetch(&s->arrived, 1, __ATOMIC_SEQ_CST);
	sys_futex(&s->arrived, FUTEX_WAKE, 1, NULL);
	for (;;)
		SYS_CALL(SYS_pause);
}

static int check_memory(const struct survivor_check *c)
{
	const uint64_t *p = (const uint64_t *)(uintptr_t)c->addr;
	uint64_t i;

	for (i = 0; i < c->length / 8; i++)
		if (p[i] != (c->seed ? survivor_word(c->addr + i * 8, c->seed)
				     : 0))
			return 0;
	return 1;
}

/* Asks the kernel to: a fault would be the end. */
static int can_read(uint64_t addr)
{
	char byte;
	struct iovec to = {&byte, 1}, from = {(void *)(uintptr_t)addr, 1};

	return SYS_CALL(SYS_process_vm_readv, sys_getpid(), &to, 1, &from, 1,
			0) == 1;
}

static int check(struct survivor *s)
{
	int (*clock)(int, struct __kernel_timespec *) =
		(void *)(uintptr_t)s->clock;
	struct __kernel_timespec now = {0, 0};
	uint32_t i;

	if (sys_getpid() != s->pid)
		return WRONG_PID;
	if (s->wrong || sys_gettid() != s->tids[s->checker])
		return WRONG_TID;
	for (i = 0; i < s->checks; i++)
		if (!check_memory(&s->check[i]))
			return WRONG_MEMORY + (int)i;
	if (s->brk && (uint64_t)SYS_CALL(SYS_brk, 0) != s->brk)
		return WRONG_BREAK;
	if (clock) {
		uint64_t ns = sys_clock_ns(1), got;

		if (clock(1, &now) != 0)
			return WRONG_CLOCK;
		got = (uint64_t)now.tv_sec * 1000000000u +
		      (uint64_t)now.tv_nsec;
		if (got < ns || got > ns + 1000000000u)
			return WRONG_CLOCK;
	}
	if (sys_fcntl(s->closed_fd, F_GETFD, 0) >= 0 || s->inherited)
		return WRONG_FILES;
	if (s->rebirth.life != 7 || !s->rebirth.scratch_length ||
	    sys_munmap((void *)(uintptr_t)s->rebirth.scratch,
		       s->rebirth.scratch_length) < 0)
		return WRONG_REBIRTH;
	if (SYS_CALL(SYS_msync, s->gone, 4096, MS_ASYNC) == 0)
		return WRONG_MAPPING;
	if (s->guard && can_read(s->guard))
		return WRONG_GUARD;
	return SURVIVED;
}

void survivor_main(struct survivor *s, long index, long one)
{
	uint32_t n;
	int result;

	if (index == SURVIVOR_SERVICE) {
		if (sys_fcntl(s->closed_fd, F_GETFD, 0) >= 0)
			s->inherited = 1;
		arrive(s, one == 1);
	}
	if (index != s->checker)
		arrive(s, one == 1 && sys_gettid() == s->tids[index]);
	while ((n = __atomic_load_n(&s->arrived, __ATOMIC_SEQ_CST)) <
	       s->expect)
		sys_futex(&s->arrived, FUTEX_WAIT, n, NULL);
	while (__atomic_load_n(&s->rebirth.leader_ends, __ATOMIC_SEQ_CST))
		sys_futex(&s->rebirth.leader_ends, FUTEX_WAIT, 1, NULL);
	result = one == 1 ? check(s) : WRONG_JUMP;
	sys_write(s->result_fd, &result, sizeof(result));
	sys_exit_group(result);
}
