/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "preload/wrap/real.h"

#include <dlfcn.h>

static struct real functions;

void real_look_up(void)
{
#define WRAP(name, returns, params)                                            \
	functions.name = (returns(*) params)dlsym(RTLD_NEXT, #name);
#include "preload/wrap/wrappers.def"
#undef WRAP
}

const struct real *real(void)
{
	if (__builtin_expect(!functions.execve, 0))
		preload_start();
	return &functions;
}
