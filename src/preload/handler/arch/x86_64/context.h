/* SPDX-License-Identifier: MIT */
/* The registers in a signal frame, by what they mean for a system call. */
#ifndef PARK_ARCH_X86_64_CONTEXT_H
#define PARK_ARCH_X86_64_CONTEXT_H

#include <signal.h>
#include <stdint.h>
#include <sys/ucontext.h>

#define CONTEXT_RED_ZONE 128 /* below the stack pointer, a function may use */
#define CONTEXT_CALL_LENGTH 2 /* of the syscall instruction */

static inline uint64_t *context_register(ucontext_t *c, int index)
{
	return (uint64_t *)&c->uc_mcontext.gregs[index];
}

#define context_ip(c) (*context_register(c, REG_RIP))
#define context_sp(c) (*context_register(c, REG_RSP))
#define context_result(c) (*context_register(c, REG_RAX))

static inline uint64_t *context_argument(ucontext_t *c, int index)
{
	static const int registers[6] = {
		REG_RDI, REG_RSI, REG_RDX, REG_R10, REG_R8, REG_R9,
	};

	return context_register(c, registers[index]);
}

/* The mask that rt_sigreturn will set: the kernel's 64 bits. */
static inline uint64_t context_mask(ucontext_t *c)
{
	uint64_t mask;

	__builtin_memcpy(&mask, &c->uc_sigmask, sizeof(mask));
	return mask;
}

/* Memory on the thread's stack that stays until the program takes the stack
 * pointer up again, when that is set to it. Below the red zone; where our own
 * frame is just there, the part of it that rt_sigreturn does not read: the
 * siginfo_t behind the kernel's ucontext. Aligned to 16. */
#define CONTEXT_KERNEL_SIZE 304 /* struct ucontext, as the kernel has it */

static inline void *context_spare(ucontext_t *c, uint64_t size)
{
	uint64_t sp = *context_register(c, REG_RSP);
	uint64_t base = (uint64_t)(uintptr_t)c->uc_stack.ss_sp;
	uint64_t end = base + c->uc_stack.ss_size;
	uint64_t frame = (uint64_t)(uintptr_t)c;

	if (!(c->uc_stack.ss_flags & SS_DISABLE) && frame >= base &&
	    frame < end && !(sp > base && sp <= end))
		return (void *)((sp - CONTEXT_RED_ZONE - size) & -16ull);
	return (char *)c + CONTEXT_KERNEL_SIZE;
}

static inline int context_is_call(const unsigned char *code)
{
	return code[0] == 0x0f && code[1] == 0x05;
}

/* The number that the code before a call instruction loads for it; -1: that
 * cannot be seen. decode.c */
int64_t context_call_number(const unsigned char *call);

#endif
