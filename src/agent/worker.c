/* SPDX-License-Identifier: MIT */
#include "agent/worker.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "agent/loop.h"

struct queue {
	struct worker_job *first, **last;
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct queue todo, finished; /* under the lock */
	unsigned busy;		     /* the loop's own */
	int started;		     /* the loop's own */
	int cancelled;		     /* atomic */
	struct loop_source wake;     /* eventfd: something is in `finished` */
} worker = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.more = PTHREAD_COND_INITIALIZER,
	.todo.last = &worker.todo.first,
	.finished.last = &worker.finished.first,
};

static void queue_put(struct queue *queue, struct worker_job *job)
{
	job->next = NULL;
	*queue->last = job;
	queue->last = &job->next;
}

static struct worker_job *queue_take(struct queue *queue)
{
	struct worker_job *job = queue->first;

	if (!job)
		return NULL;
	queue->first = job->next;
	if (!queue->first)
		queue->last = &queue->first;
	return job;
}

static void *work(void *unused)
{
	const uint64_t one = 1;
	struct worker_job *job;
	ssize_t written;

	(void)unused;
	pthread_mutex_lock(&worker.lock);
	for (;;) {
		while (!(job = queue_take(&worker.todo)))
			pthread_cond_wait(&worker.more, &worker.lock);
		pthread_mutex_unlock(&worker.lock);
		job->run(job);
		pthread_mutex_lock(&worker.lock);
		queue_put(&worker.finished, job);
		/* Can only fail when it is full: then it is ready anyway. */
		written = write(worker.wake.fd, &one, sizeof(one));
		(void)written;
	}
	return NULL;
}

static void finished(struct loop_source *source, uint32_t events)
{
	struct worker_job *job;
	uint64_t count;
	ssize_t got = read(source->fd, &count, sizeof(count));

	(void)got;
	(void)events;
	for (;;) {
		pthread_mutex_lock(&worker.lock);
		job = queue_take(&worker.finished);
		pthread_mutex_unlock(&worker.lock);
		if (!job)
			return;
		worker.busy--;
		job->done(job);
	}
}

int worker_open(void)
{
	worker.wake.ready = finished;
	worker.wake.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (worker.wake.fd < 0)
		return -errno;
	return loop_add(&worker.wake, EPOLLIN);
}

/* At the first job: in a capsule, a thread that is made earlier might take
 * the id of one that is still to be restored. */
static void start(void)
{
	sigset_t all, before;
	pthread_t thread;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	worker.started = pthread_create(&thread, NULL, work, NULL) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (worker.started)
		pthread_detach(thread);
}

void worker_submit(struct worker_job *job)
{
	const uint64_t one = 1;
	ssize_t written;

	if (!worker.started)
		start();
	if (!worker.started) { /* no thread to be had: block for once */
		worker.busy++;
		job->run(job);
		queue_put(&worker.finished, job);
		written = write(worker.wake.fd, &one, sizeof(one));
		(void)written;
		return;
	}
	worker.busy++;
	pthread_mutex_lock(&worker.lock);
	queue_put(&worker.todo, job);
	pthread_cond_signal(&worker.more);
	pthread_mutex_unlock(&worker.lock);
}

unsigned worker_busy(void)
{
	return worker.busy;
}

void worker_cancel(int cancelled)
{
	__atomic_store_n(&worker.cancelled, cancelled, __ATOMIC_SEQ_CST);
}

int worker_cancelled(void)
{
	return __atomic_load_n(&worker.cancelled, __ATOMIC_SEQ_CST);
}
