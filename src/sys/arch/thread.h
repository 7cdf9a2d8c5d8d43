/* SPDX-License-Identifier: MIT */
#ifndef SYS_ARCH_THREAD_H
#define SYS_ARCH_THREAD_H

/* struct clone_args of linux/sched.h, up to set_tid (kernel 5.5), under a
 * name of our own: libc's headers define it on some systems and not on others. */
struct sys_clone_args {
	uint64_t flags, pidfd, child_tid, parent_tid, exit_signal;
	uint64_t stack, stack_size, tls, set_tid, set_tid_size;
};

#if defined(__x86_64__)
#include "sys/arch/x86_64/thread.h"
#else
#error "this architecture has no folder yet: see HACKING.md"
#endif

#endif
