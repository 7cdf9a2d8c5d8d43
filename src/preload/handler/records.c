/* SPDX-License-Identifier: MIT */
/*
 * The records of the threads, in memory that exists only during a stop. The
 * service thread makes a record before it sends the signal that names it, so
 * the threads themselves never allocate and never search.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/mman.h>

#include "preload/handler/stop.h"
#include "sys/sys.h"

#define CHUNK 128u   /* records */
#define CHUNKS 4096u /* half a million threads */

struct slot {
	int32_t tid; /* 0: empty */
	uint32_t ticket;
};

/* Written by the service thread; `chunk` is read by threads that have been
 * given a ticket in it, so after it was written. */
static struct {
	struct park_thread *chunk[CHUNKS];
	uint32_t count;
	struct slot *table; /* open addressing, a power of two */
	uint32_t table_size;
	uint32_t *settled; /* tickets of those that arrived */
	uint32_t settled_size, settled_count;
} records;

static void *map(size_t length)
{
	long p = sys_mmap(NULL, length, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p < 0 && p > -4096 ? NULL : (void *)p;
}

static void unmap(void *p, size_t length)
{
	if (p)
		sys_munmap(p, length);
}

static void table_insert(int32_t tid, uint32_t ticket)
{
	uint32_t mask = records.table_size - 1;
	uint32_t at = (uint32_t)tid * 2654435761u;

	while (records.table[at & mask].tid)
		at++;
	records.table[at & mask] = (struct slot){tid, ticket};
}

static int table_grow(void)
{
	struct slot *old = records.table;
	uint32_t i, old_size = records.table_size;
	uint32_t size = old_size ? old_size * 4 : 1024;
	struct slot *table = map(size * sizeof(*table));

	if (!table)
		return -ENOMEM;
	records.table = table;
	records.table_size = size;
	for (i = 0; i < old_size; i++)
		if (old[i].tid)
			table_insert(old[i].tid, old[i].ticket);
	unmap(old, old_size * sizeof(*old));
	return 0;
}

int records_open(void)
{
	int ret = table_grow();

	if (ret < 0)
		return ret;
	records.count = 1;
	table_insert(stop.first.tid, 1);
	return 0;
}

void records_close(void)
{
	uint32_t i;

	for (i = 0; i < CHUNKS && records.chunk[i]; i++) {
		unmap(records.chunk[i], CHUNK * sizeof(struct park_thread));
		records.chunk[i] = NULL;
	}
	unmap(records.table, records.table_size * sizeof(struct slot));
	unmap(records.settled, records.settled_size * sizeof(uint32_t));
	records.table = NULL;
	records.settled = NULL;
	records.table_size = records.settled_size = 0;
	records.settled_count = records.count = 0;
}

uint32_t records_count(void)
{
	return records.count;
}

struct park_thread *records_at(uint32_t ticket)
{
	uint32_t index = ticket - 2;

	if (ticket == 1)
		return &stop.first;
	if (ticket == 0 || index / CHUNK >= CHUNKS ||
	    !records.chunk[index / CHUNK])
		return NULL;
	return &records.chunk[index / CHUNK][index % CHUNK];
}

uint32_t records_find(int32_t tid)
{
	uint32_t mask = records.table_size - 1;
	uint32_t at = (uint32_t)tid * 2654435761u;

	for (;; at++) {
		struct slot *slot = &records.table[at & mask];

		if (slot->tid == tid)
			return slot->ticket;
		if (!slot->tid)
			return 0;
	}
}

int records_add(int32_t tid, uint32_t *ticket)
{
	uint32_t index = records.count - 1;
	struct park_thread *thread;
	int ret;

	if (index / CHUNK >= CHUNKS)
		return -ENOMEM;
	if (!records.chunk[index / CHUNK]) {
		records.chunk[index / CHUNK] =
			map(CHUNK * sizeof(struct park_thread));
		if (!records.chunk[index / CHUNK])
			return -ENOMEM;
	}
	if (records.count * 2 > records.table_size) {
		ret = table_grow();
		if (ret < 0)
			return ret;
	}
	thread = &records.chunk[index / CHUNK][index % CHUNK];
	thread->tid = tid;
	thread->call.nr = -1;
	*ticket = ++records.count;
	table_insert(tid, *ticket);
	return 0;
}

int records_settle(uint32_t request)
{
	uint32_t ticket;

	records.settled_size = records.count;
	records.settled = map(records.count * sizeof(uint32_t));
	if (!records.settled)
		return -ENOMEM;
	for (ticket = 1; ticket <= records.count; ticket++)
		if (stop_load(&records_at(ticket)->arrived) == request)
			records.settled[records.settled_count++] = ticket;
	return 0;
}

size_t park_count(void)
{
	return records.settled_count;
}

struct park_thread *park_thread_at(size_t index)
{
	return records_at(records.settled[index]);
}
