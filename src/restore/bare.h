/* SPDX-License-Identifier: MIT */
/*
 * The plan that ckpt_restart hands to the bare restorer: everything looked up,
 * opened and checked beforehand, so that the restorer only does what must be
 * done last, without libc, while it replaces the memory it runs in.
 *
 * ckpt_restart maps one range (`scratch`) into a hole of the old and the new
 * layout and puts there: the restorer's blob, this plan and all arrays it
 * points to, a stack, and buffers. Descriptors in the plan stand at numbers
 * the program does not use; the restorer closes them before any thread of the
 * program exists.
 *
 * In order: unmap all else but the vdso; map areas; fill them (threads); last
 * protections and advice; prctl(PR_SET_MM_MAP); the vdso; struct
 * image_rebirth into place; wait until all processes have come as far; the
 * service thread and the others by clone3(set_tid), each jumps; the leader jumps
 * last (or ends, IMAGE_LEADER_DEAD). If they have ids of their own, each takes
 * them first and waits for all others.
 * After that libckpt.so is in charge; it unmaps the scratch range.
 */
#ifndef BARE_H
#define BARE_H

#include <stdint.h>

#include "image/format.h"

#define BARE_THREAD_BUFFER ((2u << 20) + (128u << 10))

enum bare_area_flags {
	BARE_GROWSDOWN = 1,
	BARE_NORESERVE = 2,
	BARE_HUGETLB = 4, /* hugetlb_shift */
	BARE_SHARED = 8,  /* MAP_SHARED; else MAP_PRIVATE */
	BARE_PLACEHOLDER = 16, /* PROT_NONE, no reserve: filled later */
	BARE_MOVE = 32, /* it stands in the scratch range, at `offset`: what
			 * is no file cannot be mapped a second time */
};

struct bare_area {
	uint64_t start, end;
	uint64_t offset;
	int32_t fd;	/* -1: anonymous */
	uint32_t flags; /* enum bare_area_flags */
	uint32_t prot;	/* the final one */
	uint32_t advice; /* enum image_area_flags: madvise, mlock2 afterwards */
	uint32_t hugetlb_shift;
	uint32_t guards;      /* index into plan->guards ... */
	uint32_t guard_count; /* ... and how many */
	uint32_t pkey;
	uint64_t name; /* address of a NUL-terminated anonymous name, or 0 */
};

struct bare_thread {
	int32_t tid;
	uint32_t pad;
	struct image_jump jump;
	const struct bare_call *calls; /* NULL: none, as for all others */
};

/* A system call by which a thread becomes somebody else; after a list of them
 * comes BARE_CALLS_END. */
struct bare_call {
	int64_t number;
	uint64_t arguments[4]; /* the fifth is 0 */
	int64_t expected;
	uint64_t unchecked; /* whatever the result */
};
#define BARE_CALLS_END (-1)

/* Nobody goes into the program's memory, which whoever made the image has
 * filled, before all are who they shall be. */
struct bare_gate {
	uint32_t open;	  /* futex */
	uint32_t arrived; /* threads, the leader not; futex */
};

struct bare_plan {
	uint64_t scratch, scratch_length;
	uint64_t stack_top;
	/* Page-aligned: area_count bytes, rounded up to pages, then
	 * BARE_THREAD_BUFFER for each fill thread. Where that is less, fewer
	 * threads fill, but at least one. */
	uint64_t buffers, buffers_length;

	int32_t image_fd;  /* blocks are read from here */
	/* A pipe: one line "STEP: errno N", then exit_group(99). End of file:
	 * all threads of the program but the service thread exist. */
	int32_t error_fd;
	int32_t exe_fd;	   /* for PR_SET_MM_MAP, -1: leave the link */
	uint32_t fill_threads;
	int32_t helper_tid; /* first of fill_threads tids nobody needs, 0: any */
	uint32_t leader_dead;
	/* What libc registered for the calling thread (__rseq_offset behind
	 * the thread pointer), to be unregistered; 0: nothing. */
	uint64_t rseq;
	uint32_t rseq_length, rseq_signature;

	const struct bare_area *areas;
	uint64_t area_count;
	const struct image_guard *guards;
	const struct image_block *blocks;
	uint64_t block_count;
	const struct image_extent *extents;
	const struct bare_thread *threads; /* without the leader */
	uint64_t thread_count;
	struct image_jump leader; /* where this very thread goes */
	struct image_jump service;
	/* Of the leader and the service thread. NULL for the leader: for all
	 * threads; else all have some. The service thread's close error_fd. */
	const struct bare_call *leader_calls, *service_calls;
	struct bare_gate *gate;
	/* Futex, shared: how many of the processes have filled their memory.
	 * What one of them fills, a mapping that they share, may be the stack
	 * of another's thread. NULL: there is no other. */
	uint32_t *filled;
	uint32_t filled_by; /* all of them */
	const int32_t *close_fds; /* of the plan; error_fd last */
	uint64_t close_count;

	struct image_mm mm;
	const void *auxv;
	uint64_t auxv_length;
	const void *old_vdso; /* its bytes, to be put at old_vdso_at */
	uint64_t old_vdso_at, old_vdso_length, old_vvar_at, old_vvar_length;
	uint64_t rebirth_at;
	struct image_rebirth rebirth; /* the restorer fills in the vdso fields */
	uint32_t readahead; /* ask for all of the image file at once */
	uint32_t lazy; /* map raw blocks of the image instead of reading them */
};

/* The blob's first byte. Never returns. Runs on plan->stack_top (64 KiB
 * will do). The blob has no data of its own and no relocations: copied to any
 * page of the scratch range, it may be executable and read-only. */
typedef void bare_entry(struct bare_plan *plan);

/* The blob, as libblob.a carries it. */
extern const unsigned char restore_blob[], restore_blob_end[];

#endif
