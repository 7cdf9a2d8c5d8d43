/* SPDX-License-Identifier: MIT */
#ifndef PLUGINS_TIMERFD_FORMAT_H
#define PLUGINS_TIMERFD_FORMAT_H

#include <stdint.h>

#define TIMERFD_VERSION 1

struct timerfd_record {
	int32_t clock;
	uint32_t flags;	   /* of timerfd_settime(): TFD_TIMER_... */
	uint64_t ticks;	   /* expirations nobody has read */
	uint64_t left;	   /* ns until the next, 0: disarmed */
	uint64_t interval; /* ns */
	uint64_t saved_at; /* what its clock said then, ns */
};

#endif
