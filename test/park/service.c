/* SPDX-License-Identifier: MIT */
/* The frozen side of the bench: see bench.h. */
#include <linux/futex.h>
#include <time.h>

#include "park/bench.h"
#include "preload/handler/park.h"
#include "preload/preload.h"
#include "sys/sys.h"

void frozen_service(uint32_t request)
{
	struct bench *b = bench_of(preload.registry);
	uint64_t start = sys_clock_ns(CLOCK_MONOTONIC), parked, captured, all;
	struct park_late late;
	uint32_t never = 0;

	b->error = park_all(start + b->deadline_ms * 1000000ull, &late);
	parked = captured = sys_clock_ns(CLOCK_MONOTONIC);
	b->threads = (uint32_t)park_count();
	b->late = late.tid;
	b->late_state = (uint32_t)late.state;
	if (b->error == 0) {
		b->error = park_capture();
		captured = sys_clock_ns(CLOCK_MONOTONIC);
	}
	if (b->hold_us) {
		struct __kernel_timespec hold = {
			.tv_sec = b->hold_us / 1000000,
			.tv_nsec = b->hold_us % 1000000 * 1000,
		};

		sys_futex(&never, FUTEX_WAIT, 0, &hold);
	}
	/* Before: afterwards somebody else may have the CPU. */
	all = sys_clock_ns(CLOCK_MONOTONIC) - park_started();
	park_release();
	b->park_ns = parked - park_started();
	b->capture_ns = captured - parked;
	b->last_ns = all;
	b->stopped_ns += all;
	if (all > b->max_ns)
		b->max_ns = all;
	b->stops++;
	__atomic_store_n(&b->finished, request, __ATOMIC_SEQ_CST);
}
