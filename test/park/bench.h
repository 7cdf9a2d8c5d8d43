/* SPDX-License-Identifier: MIT */
/*
 * Parking without an agent and without images: park-bench pokes a program,
 * and the library's frozen side is replaced by service.c, which parks,
 * captures, holds and releases. They share this, in the registry's first
 * page behind the header that an agent would keep there.
 */
#ifndef PARK_BENCH_H
#define PARK_BENCH_H

#include <stdint.h>

#include "wire/registry.h"

struct bench {
	/* the driver says */
	uint32_t hold_us; /* how long everybody stays parked */
	uint32_t deadline_ms;
	/* the service answers */
	uint32_t finished; /* the request it has done with */
	int32_t error;	   /* of park_all or park_capture */
	uint32_t threads;
	int32_t late;
	uint32_t late_state;
	uint32_t stops;	   /* so far */
	uint64_t park_ns, capture_ns;
	uint64_t stopped_ns; /* all stops together */
	uint64_t last_ns, max_ns;
};

static inline struct bench *bench_of(struct registry_header *r)
{
	return (struct bench *)r->generation_dir;
}

#endif
