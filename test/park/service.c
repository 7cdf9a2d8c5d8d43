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
	uint64_t start = sys_clock_ns(CLOCK_MONOTONIC), parked, captured;
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
	park_release();
	b->park_ns = parked - park_started();
	b->capture_ns = captured - parked;
	captured = sys_clock_ns(CLOCK_MONOTONIC) - park_started();
	b->last_ns = captured;
	b->stopped_ns += captured;
	if (captured > b->max_ns)
		b->max_ns = captured;
	b->stops++;
	__atomic_store_n(&b->finished, request, __ATOMIC_SEQ_CST);
}
