/* SPDX-License-Identifier: MIT */
#ifndef PLUGINS_TIMERS_FORMAT_H
#define PLUGINS_TIMERS_FORMAT_H

#include <stdint.h>

#define TIMERS_VERSION 1

struct timers_interval { /* the kernel's struct itimerval */
	int64_t interval_s, interval_us, value_s, value_us;
};

struct timers_posix {
	int32_t id;
	int32_t clock;
	int32_t notify;	 /* SIGEV_... */
	int32_t signal;
	int32_t tid;	 /* SIGEV_THREAD_ID */
	uint32_t pad;
	uint64_t value;	 /* sigval */
	int64_t interval_s, interval_ns, left_s, left_ns;
};

/* For people: the process puts its timers back from its own memory. */
struct timers_record {
	struct timers_interval interval[3]; /* REAL, VIRTUAL, PROF */
	uint32_t posix_count; /* struct timers_posix[] follows */
	uint32_t pad;
};

#endif
