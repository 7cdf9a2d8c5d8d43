/* SPDX-License-Identifier: MIT */
/*
 * An io_uring is a queue into the kernel that nobody can look into: it cannot
 * be saved. A program that wants one is told what a kernel without it tells:
 * it then takes epoll or threads. liburing's functions make the call by
 * themselves, others by syscall() (arch/x86_64/syscall.S). The same for the
 * older kind of queue, of libaio; those names are anybody's, so they stand for
 * libaio's versions of them only (libckpt.map).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stddef.h>

#include "preload/wrap/real.h"

int io_uring_setup(unsigned entries, void *params)
{
	(void)entries;
	(void)params;
	return -ENOSYS;
}

int io_uring_queue_init(unsigned entries, void *ring, unsigned flags)
{
	(void)entries;
	(void)ring;
	(void)flags;
	return -ENOSYS;
}

int io_uring_queue_init_params(unsigned entries, void *ring, void *params)
{
	(void)entries;
	(void)ring;
	(void)params;
	return -ENOSYS;
}

int io_uring_queue_init_mem(unsigned entries, void *ring, void *params,
			    void *memory, size_t size)
{
	(void)entries;
	(void)ring;
	(void)params;
	(void)memory;
	(void)size;
	return -ENOSYS;
}

__asm__(".symver queues_io_setup, io_setup@LIBAIO_0.4, remove");
__attribute__((visibility("default"))) int queues_io_setup(int events,
							    void *context);
int queues_io_setup(int events, void *context)
{
	(void)events;
	(void)context;
	return -ENOSYS;
}

__asm__(".symver queues_io_queue_init, io_queue_init@LIBAIO_0.1, remove");
__attribute__((visibility("default"))) int queues_io_queue_init(int events,
								 void *context);
int queues_io_queue_init(int events, void *context)
{
	(void)events;
	(void)context;
	return -ENOSYS;
}

void *io_uring_get_probe(void)
{
	return NULL;
}
