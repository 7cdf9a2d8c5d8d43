/* SPDX-License-Identifier: MIT */
#ifndef SYS_ARCH_X86_64_THREAD_H
#define SYS_ARCH_X86_64_THREAD_H

/* What both calls do in the child: its stack holds run and argument. */
#define SYS_THREAD_CHILD                                                       \
	"syscall\n\t"                                                          \
	"test %%rax, %%rax\n\t"                                                \
	"jnz 1f\n\t"                                                           \
	"xor %%ebp, %%ebp\n\t"                                                 \
	"pop %%rax\n\t"                                                        \
	"pop %%rdi\n\t"                                                        \
	"call *%%rax\n\t"                                                      \
	"mov %[exit], %%eax\n\t"                                               \
	"xor %%edi, %%edi\n\t"                                                 \
	"syscall\n\t"                                                          \
	"hlt\n"                                                                \
	"1:"

static inline uint64_t sys_thread_stack(const struct sys_clone_args *c,
					void (*run)(void *), void *argument)
{
	uint64_t top = (c->stack + c->stack_size) & -16ull;
	void **word = (void **)(uintptr_t)top;

	*--word = argument;
	*--word = (void *)run;
	return (uint64_t)(uintptr_t)word;
}

static inline long sys_thread_clone(const struct sys_clone_args *c,
				    void (*run)(void *), void *argument)
{
	register uint64_t child_tid __asm__("r10") = c->child_tid;
	register uint64_t tls __asm__("r8") = c->tls;
	uint64_t stack = sys_thread_stack(c, run, argument);
	long ret;

	__asm__ volatile(SYS_THREAD_CHILD
			 : "=a"(ret)
			 : "a"((long)SYS_clone), "D"(c->flags), "S"(stack),
			   "d"(c->parent_tid), "r"(child_tid), "r"(tls),
			   [exit] "i"(SYS_exit)
			 : "rcx", "r11", "memory");
	return ret;
}

static inline long sys_thread_clone3(struct sys_clone_args *c,
				     void (*run)(void *), void *argument)
{
	long ret;

	/* The kernel starts the child at stack + stack_size. */
	c->stack_size = sys_thread_stack(c, run, argument) - c->stack;
	__asm__ volatile(SYS_THREAD_CHILD
			 : "=a"(ret)
			 : "a"((long)SYS_clone3), "D"(c), "S"(sizeof(*c)),
			   [exit] "i"(SYS_exit)
			 : "rcx", "r11", "memory");
	return ret;
}

#endif
