/* SPDX-License-Identifier: MIT */
/*
 * glibc puts its own handler on signal 33 when it creates the first thread of
 * a process, by whichever of these functions. Nothing tells us; so we look
 * afterwards, by one system call.
 */
#define _GNU_SOURCE
#include "preload/handler/notices.h"
#include "preload/handler/signal.h"
#include "preload/preload.h"
#include "preload/wrap/real.h"

static int armed(int ret)
{
	if (preload.registry)
		park_signal_arm_again();
	return ret;
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attr,
		   void *(*run)(void *), void *argument)
{
	return armed(real()->pthread_create(thread, attr, run, argument));
}

int thrd_create(thrd_t *thread, thrd_start_t run, void *argument)
{
	return armed(real()->thrd_create(thread, run, argument));
}

/* SIGEV_THREAD */
int timer_create(clockid_t clock, struct sigevent *event, timer_t *timer)
{
	return armed(real()->timer_create(clock, event, timer));
}

int mq_notify(mqd_t queue, const struct sigevent *event)
{
	int ret = real()->mq_notify(queue, event);

	if (ret == 0)
		notices_note(queue, event);
	return armed(ret);
}

int aio_read(struct aiocb *block)
{
	return armed(real()->aio_read(block));
}

int aio_write(struct aiocb *block)
{
	return armed(real()->aio_write(block));
}

int aio_fsync(int operation, struct aiocb *block)
{
	return armed(real()->aio_fsync(operation, block));
}

int lio_listio(int mode, struct aiocb *const list[], int count,
	       struct sigevent *event)
{
	return armed(real()->lio_listio(mode, list, count, event));
}

int aio_read64(struct aiocb64 *block)
{
	return armed(real()->aio_read64(block));
}

int aio_write64(struct aiocb64 *block)
{
	return armed(real()->aio_write64(block));
}

int aio_fsync64(int operation, struct aiocb64 *block)
{
	return armed(real()->aio_fsync64(operation, block));
}

int lio_listio64(int mode, struct aiocb64 *const list[], int count,
		 struct sigevent *event)
{
	return armed(real()->lio_listio64(mode, list, count, event));
}

int getaddrinfo_a(int mode, struct gaicb *list[], int count,
		  struct sigevent *event)
{
	return armed(real()->getaddrinfo_a(mode, list, count, event));
}
