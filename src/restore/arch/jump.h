/* SPDX-License-Identifier: MIT */
#ifndef RESTORE_ARCH_JUMP_H
#define RESTORE_ARCH_JUMP_H

#if defined(__x86_64__)
#include "restore/arch/x86_64/jump.h"
#else
#error "this architecture has no folder yet: see HACKING.md"
#endif

#endif
