/* SPDX-License-Identifier: MIT */
#ifndef PARK_ARCH_RESUME_H
#define PARK_ARCH_RESUME_H

#if defined(__x86_64__)
#include "preload/handler/arch/x86_64/resume.h"
#else
#error "this architecture has no folder yet: see HACKING.md"
#endif

#endif
