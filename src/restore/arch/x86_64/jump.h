/* SPDX-License-Identifier: MIT */
/* To where park_save() returned first, with 1: no stack is needed, and no
 * word is written. Also what the vdso needs to know of the machine. */
#ifndef RESTORE_ARCH_X86_64_JUMP_H
#define RESTORE_ARCH_X86_64_JUMP_H

#include <asm/prctl.h>
#include <asm/unistd.h>
#include <stddef.h>
#include <stdint.h>

#include "image/format.h"
#include "restore/bare.h"
#include "sys/sys.h"
#include "sys/thread.h"

_Static_assert(offsetof(struct image_jump, rip) == 56, "the loads below");

/* %r8 holds the address of the struct image_jump. */
#define BARE_JUMP                                                              \
	"mov 0(%%r8), %%rbx\n\t"                                               \
	"mov 8(%%r8), %%rbp\n\t"                                               \
	"mov 16(%%r8), %%r12\n\t"                                              \
	"mov 24(%%r8), %%r13\n\t"                                              \
	"mov 32(%%r8), %%r14\n\t"                                              \
	"mov 40(%%r8), %%r15\n\t"                                              \
	"mov 48(%%r8), %%rsp\n\t"                                              \
	"mov $1, %%eax\n\t"                                                    \
	"jmp *56(%%r8)\n"

static inline _Noreturn void bare_jump(const struct image_jump *jump)
{
	register const struct image_jump *to __asm__("r8") = jump;

	__asm__ volatile(BARE_JUMP : : "r"(to) : "memory");
	__builtin_unreachable();
}

/* A thread that begins with the jump. Its tid or -errno. */
static inline long bare_clone(struct sys_clone_args *c,
			      const struct image_jump *jump)
{
	register const struct image_jump *to __asm__("r8") = jump;
	long ret;

	__asm__ volatile("syscall\n\t"
			 "test %%rax, %%rax\n\t"
			 "jnz 1f\n\t" BARE_JUMP "1:"
			 : "=a"(ret)
			 : "a"((long)SYS_clone3), "D"(c), "S"(sizeof(*c)),
			   "r"(to)
			 : "rcx", "r11", "memory");
	return ret;
}

_Static_assert(sizeof(struct bare_call) == 56 &&
		       offsetof(struct bare_call, unchecked) == 48 &&
		       sizeof(struct bare_gate) == 8,
	       "the loads below");

#define BARE_NUMBER_TEXT(x) #x
#define BARE_NUMBER(x) BARE_NUMBER_TEXT(x)

/* Likewise, but makes the calls, arrives at the gate and waits there, before
 * it jumps: without a stack, too. A call that fails ends the process. */
static inline long bare_clone_as(struct sys_clone_args *c,
				 const struct image_jump *jump,
				 const struct bare_call *calls,
				 struct bare_gate *gate)
{
	register const struct image_jump *to __asm__("r12") = jump;
	register const struct bare_call *first __asm__("r13") = calls;
	register struct bare_gate *at __asm__("r14") = gate;
	long ret;

	__asm__ volatile(
		"syscall\n\t"
		"test %%rax, %%rax\n\t"
		"jnz 9f\n"
		"1:\n\t"
		"mov 0(%%r13), %%rax\n\t"
		"test %%rax, %%rax\n\t"
		"js 4f\n\t"
		"mov 8(%%r13), %%rdi\n\t"
		"mov 16(%%r13), %%rsi\n\t"
		"mov 24(%%r13), %%rdx\n\t"
		"mov 32(%%r13), %%r10\n\t"
		"xor %%r8d, %%r8d\n\t"
		"syscall\n\t"
		"cmpq $0, 48(%%r13)\n\t"
		"jne 2f\n\t"
		"cmp 40(%%r13), %%rax\n\t"
		"jne 3f\n"
		"2:\n\t"
		"add $56, %%r13\n\t"
		"jmp 1b\n"
		"3:\n\t"
		"mov $" BARE_NUMBER(__NR_exit_group) ", %%eax\n\t"
		"mov $99, %%edi\n\t"
		"syscall\n"
		"4:\n\t"
		"lock incl 4(%%r14)\n\t"
		"mov $" BARE_NUMBER(__NR_futex) ", %%eax\n\t"
		"lea 4(%%r14), %%rdi\n\t"
		"mov $1, %%esi\n\t" /* FUTEX_WAKE */
		"mov $1, %%edx\n\t"
		"syscall\n"
		"5:\n\t"
		"cmpl $0, 0(%%r14)\n\t"
		"jne 6f\n\t"
		"mov $" BARE_NUMBER(__NR_futex) ", %%eax\n\t"
		"mov %%r14, %%rdi\n\t"
		"xor %%esi, %%esi\n\t" /* FUTEX_WAIT while it is 0 */
		"xor %%edx, %%edx\n\t"
		"xor %%r10d, %%r10d\n\t"
		"syscall\n\t"
		"jmp 5b\n"
		"6:\n\t"
		"mov %%r12, %%r8\n\t" BARE_JUMP
		"9:"
		: "=a"(ret)
		: "a"((long)SYS_clone3), "D"(c), "S"(sizeof(*c)), "r"(to),
		  "r"(first), "r"(at)
		: "rcx", "r11", "memory");
	return ret;
}

/* Code may read its stack canary behind this. */
static inline long bare_set_tls(void *block)
{
	return SYS_CALL(SYS_arch_prctl, ARCH_SET_FS, block);
}

#define BARE_STUB_SIZE 12

/* At a function's entry: go to `target` instead. */
static inline void bare_stub_jump(unsigned char *at, uint64_t target)
{
	at[0] = 0x48; /* movabs $target, %rax */
	at[1] = 0xb8;
	__builtin_memcpy(at + 2, &target, 8);
	at[10] = 0xff; /* jmp *%rax */
	at[11] = 0xe0;
}

/* ... or make the system call with the arguments as they are. */
static inline void bare_stub_syscall(unsigned char *at, uint32_t number)
{
	at[0] = 0xb8; /* mov $number, %eax */
	__builtin_memcpy(at + 1, &number, 4);
	at[5] = 0x0f; /* syscall */
	at[6] = 0x05;
	at[7] = 0xc3; /* ret */
}

#endif
