/* SPDX-License-Identifier: MIT */
/*
 * The program's soft limits stand in our way: all descriptors it may have are
 * open, or more than it may have by now; its address space is nearly full. So
 * they are lifted as far as they go, while nobody but us runs. Who asks for
 * the limits themselves must do it before (plugins_capture).
 */
#include <sys/resource.h>

#include "preload/frozen/frozen.h"

static struct {
	int which;
	int lifted;
	struct rlimit saved;
} limits[] = {
	{.which = RLIMIT_NOFILE},
	{.which = RLIMIT_AS},
	{.which = RLIMIT_NPROC},
};

#define LIMITS (sizeof(limits) / sizeof(*limits))

void limits_lift(void)
{
	struct rlimit most;
	size_t i;

	for (i = 0; i < LIMITS; i++) {
		if (limits[i].lifted ||
		    SYS_CALL(SYS_prlimit64, 0, limits[i].which, NULL,
			     &limits[i].saved) < 0 ||
		    limits[i].saved.rlim_cur == limits[i].saved.rlim_max)
			continue;
		most = limits[i].saved;
		most.rlim_cur = most.rlim_max;
		limits[i].lifted = SYS_CALL(SYS_prlimit64, 0, limits[i].which,
					    &most, NULL) == 0;
	}
}

void limits_lower(void)
{
	size_t i;

	for (i = 0; i < LIMITS; i++) {
		if (limits[i].lifted)
			SYS_CALL(SYS_prlimit64, 0, limits[i].which,
				 &limits[i].saved, NULL);
		limits[i].lifted = 0;
	}
}

/* They survive into the new life only as what the image says of them. */
void limits_forget(void)
{
	size_t i;

	for (i = 0; i < LIMITS; i++)
		limits[i].lifted = 0;
}
