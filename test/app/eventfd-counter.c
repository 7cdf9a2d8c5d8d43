/* SPDX-License-Identifier: MIT */
/* Counter, semaphore mode and flags of eventfds; a reader that blocks. */
#include "twice.h"

#include <pthread.h>
#include <sys/eventfd.h>

static int plain, semaphore, waited;
static pthread_t reader;

static void *read_one(void *arg)
{
	eventfd_t count;

	(void)arg;
	check(eventfd_read(waited, &count) == 0 && count == 7);
	return NULL;
}

static void prepare(void)
{
	plain = eventfd(0, EFD_NONBLOCK);
	semaphore = eventfd(3, EFD_SEMAPHORE | EFD_CLOEXEC);
	waited = eventfd(0, 0);
	check(eventfd_write(plain, 0x123456789abc) == 0);
	check(pthread_create(&reader, NULL, read_one, NULL) == 0);
}

static void verify(void)
{
	eventfd_t count;

	check(eventfd_read(plain, &count) == 0 && count == 0x123456789abc);
	check(eventfd_read(plain, &count) < 0 && errno == EAGAIN);
	check(eventfd_read(semaphore, &count) == 0 && count == 1);
	check(eventfd_read(semaphore, &count) == 0 && count == 1);
	check(fcntl(semaphore, F_GETFD) == FD_CLOEXEC);
	check(eventfd_write(waited, 7) == 0);
	check(pthread_join(reader, NULL) == 0);
	close(plain);
	close(semaphore);
	close(waited);
}

int main(void)
{
	return twice(prepare, verify);
}
