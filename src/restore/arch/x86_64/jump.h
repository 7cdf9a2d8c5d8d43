/* SPDX-License-Identifier: MIT */
/* To where park_save() returned first, with 1: no stack is needed, and no
 * word is written. Also what the vdso needs to know of the machine. */
#ifndef RESTORE_ARCH_X86_64_JUMP_H
#define RESTORE_ARCH_X86_64_JUMP_H

#include <asm/prctl.h>
#include <stddef.h>
#include <stdint.h>

#include "image/format.h"
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
