/* SPDX-License-Identifier: MIT */
/*
 * What the live part of libckpt.so (init.c) knows, for the handler and frozen
 * rooms to read. Written by the constructor and the fork hook; after a restart
 * by frozen_reborn(), which fills it anew from struct image_rebirth.
 */
#ifndef PRELOAD_H
#define PRELOAD_H

#include <stdint.h>

#include "image/format.h"
#include "wire/registry.h"

struct preload {
	struct registry_header *registry; /* NULL: not in a computation */
	struct registry_slot *slot;	  /* this process's */
	int32_t pid;
	char runtime_dir[96];	/* RUNTIME/GROUP: agent.sock, registry */
	char coordinator[96];	/* HOST:PORT, for CKPT_COORDINATOR */
	char computation[40];
	char library[256];	/* our own path, for LD_PRELOAD */
	uint64_t minsigstksz;	/* AT_MINSIGSTKSZ */
	uint32_t rseq_length;	/* what glibc registered, 0: nothing */
	int64_t rseq_offset;	/* from the thread pointer */
	char remote[256];	/* ckpt_remote, ""; see wrap/remote.h */
	uint64_t syscall_ip;	/* behind the instruction in our syscall() */
};

extern struct preload preload; /* hidden */

/* The bare restorer writes here (its address stands in the image). */
extern struct image_rebirth preload_rebirth;

/* The sums of what was done with SEM_UNDO, by wrap/semaphores.c. Any thread
 * adds, without a lock; the next life reads. A key is taken for good. */
#define PRELOAD_UNDO_MAX 1024u
#define PRELOAD_UNDO_KEY(id, number)                                           \
	((uint64_t)(uint32_t)(id) << 32 | (uint64_t)(number) << 1 | 1)

struct preload_undo {
	int32_t pid;   /* whose they are; another one's count as none */
	uint32_t full; /* not all have found room */
	struct preload_undo_sum {
		uint64_t key; /* 0: free */
		int64_t value;
	} sums[PRELOAD_UNDO_MAX];
};

extern struct preload_undo preload_undo; /* hidden */

/* What paths led to when something was watched there, by wrap/watches.c. Any
 * thread adds, without a lock, and nothing goes; the latest first. */
#define PRELOAD_WATCH_HEADS 1024u

struct preload_watch {
	struct preload_watch *next;
	uint64_t dev, ino; /* the device as in fdinfo */
	char path[];	   /* absolute */
};

struct preload_watches {
	struct preload_watch *heads[PRELOAD_WATCH_HEADS]; /* by inode */
};

extern struct preload_watches preload_watches; /* hidden */

/* In handler/registry.c, by raw system calls only: the handler and
 * frozen_reborn() call them, too. */

/* Map runtime_dir's registry at `address` (NULL: anywhere; else what is there
 * is replaced), take a slot. 0 or -errno; then there is no registry. */
int preload_registry_join(void *address);
/* In a child by fork or raw clone: a slot of its own. Does nothing when that
 * has been done. */
void preload_forked(void);
/* The state of our slot (enum registry_state), if we have one. */
void preload_slot_state(uint32_t state);

#endif
