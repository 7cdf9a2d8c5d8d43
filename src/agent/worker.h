/* SPDX-License-Identifier: MIT */
/*
 * The one thread that may block: files are copied, hashed, synced and removed
 * here, in the order of submission. What run() touches belongs to the worker
 * until done(), which runs in the event loop.
 */
#ifndef AGENT_WORKER_H
#define AGENT_WORKER_H

struct worker_job {
	void (*run)(struct worker_job *job);
	void (*done)(struct worker_job *job); /* may free it */
	struct worker_job *next;	      /* the worker's */
};

int worker_open(void);
void worker_submit(struct worker_job *job);
/* Jobs submitted whose done() has not run yet. */
unsigned worker_busy(void);

/* Long jobs ask this between two pieces and give up with -ECANCELED. Set on
 * abort, cleared by the next checkpoint. */
void worker_cancel(int cancelled);
int worker_cancelled(void);

#endif
