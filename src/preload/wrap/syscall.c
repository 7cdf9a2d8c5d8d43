/* SPDX-License-Identifier: MIT */
/* What syscall.S cannot say in a few instructions. */
#define _GNU_SOURCE
#include <errno.h>

#include "preload/wrap/real.h"

/* In C for where errno is. */
long wrap_syscall_failed(int error);

long wrap_syscall_failed(int error)
{
	errno = error;
	return -1;
}
