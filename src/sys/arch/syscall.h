/* SPDX-License-Identifier: MIT */
#ifndef SYS_ARCH_SYSCALL_H
#define SYS_ARCH_SYSCALL_H

#if defined(__x86_64__)
#include "sys/arch/x86_64/syscall.h"
#else
#error "this architecture has no folder yet: see HACKING.md"
#endif

#endif
