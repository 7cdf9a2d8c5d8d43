/* SPDX-License-Identifier: MIT */
/* The registers of a thread that no signal frame holds. */
#ifndef PARK_ARCH_X86_64_SELF_H
#define PARK_ARCH_X86_64_SELF_H

#include <asm/prctl.h>

#include "sys/sys.h"

static inline uint64_t arch_get_fs(void)
{
	uint64_t base = 0;

	SYS_CALL(SYS_arch_prctl, ARCH_GET_FS, &base);
	return base;
}

static inline uint64_t arch_get_gs(void)
{
	uint64_t base = 0;

	SYS_CALL(SYS_arch_prctl, ARCH_GET_GS, &base);
	return base;
}

static inline void arch_set_fs(uint64_t base)
{
	SYS_CALL(SYS_arch_prctl, ARCH_SET_FS, base);
}

static inline void arch_set_gs(uint64_t base)
{
	SYS_CALL(SYS_arch_prctl, ARCH_SET_GS, base);
}

#endif
