/* SPDX-License-Identifier: MIT */
/*
 * What no process owns (System V objects), made by init before there are any.
 */
#include <string.h>

#include "restart/job.h"
#include "restart/kinds.h"
#include "restart/restore.h"
#include "restart/say.h"

void ground_make(struct job *job)
{
	struct ckpt_restore r = {.job = job};
	size_t i, k;
	int ret;

	for (i = 0; i < job->process_count; i++) {
		const struct job_process *p = &job->processes[i];

		for (k = 0; k < p->state_count; k++) {
			const struct job_state *state = &p->states[k];
			const struct ckpt_restorer *kind =
				kinds_restorer(state->kind);

			r.process = p;
			ret = kind->before ? kind->before(&r, p->process->pid,
							  state->body,
							  state->length)
					   : 0;
			if (ret < 0)
				fail("the program's %s objects cannot be restored: %s",
				     kind->name, strerror(-ret));
		}
	}
}

void ground_leave(struct job *job)
{
	struct ckpt_restore r = {.job = job};
	size_t i;

	for (i = 0; i < kinds_count(); i++)
		if (kinds_at(i) && kinds_at(i)->between)
			kinds_at(i)->between(&r);
}
