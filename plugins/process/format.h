/* SPDX-License-Identifier: MIT */
#ifndef PLUGINS_PROCESS_FORMAT_H
#define PLUGINS_PROCESS_FORMAT_H

#include <stdint.h>

#define PROCESS_VERSION 1
#define PROCESS_LIMITS 16
#define PROCESS_UNKNOWN (-1)

struct process_limit {
	uint64_t soft, hard;
};

/* -1 (PROCESS_UNKNOWN): the kernel did not tell. */
struct process_record {
	struct process_limit limits[PROCESS_LIMITS]; /* by RLIMIT_... */
	/* Of the process or its memory: it puts them back itself. */
	int32_t dumpable, subreaper, thp_disable, mdwe;
	int32_t membarrier; /* registrations, bits of membarrier(2) commands */
	/* Of its threads, the same for all in practice: by ckpt_restart. */
	int32_t no_new_privs, securebits, tsc, io_flusher, seccomp;
	int32_t speculation[3]; /* PR_SPEC_STORE_BYPASS and following */
	int32_t lock_future; /* mlockall(MCL_FUTURE); it puts that back itself */
	uint64_t bounding, ambient; /* capabilities; the sets of each thread it
				     * keeps itself */
};

#endif
