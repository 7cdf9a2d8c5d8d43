/* SPDX-License-Identifier: MIT */
/*
 * Ids for what we add to the capsule. The agent, the restorer's helper threads
 * and the service threads must not take a tid that a thread yet to be made
 * has to have again, nor should new processes get one too early: the
 * largest gap between the images' ids is ours, the kernel goes on behind them.
 */
#include "restart/job.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>

#include "restart/say.h"
#include "restart/tree.h"

#define IDS_LOWEST 300 /* below is reserved when the numbers wrap around */
#define IDS_HIGHEST (1 << 22)
#define IDS_ROOM 8192  /* how far we like the kernel to get on */

static int ascending(const void *a, const void *b)
{
	const int32_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static int32_t pid_max(void)
{
	FILE *f = fopen("/proc/sys/kernel/pid_max", "re");
	int max = 32768;

	if (f) {
		if (fscanf(f, "%d", &max) != 1)
			max = 32768;
		fclose(f);
	}
	return max;
}

/* Since Linux 6.14 each pid namespace has a limit of its own, at first the
 * highest there can be. */
int32_t ids_limit(void)
{
	int major = 0, minor = 0;
	struct utsname name;

	if (uname(&name) < 0 ||
	    sscanf(name.release, "%d.%d", &major, &minor) != 2)
		return pid_max();
	return major > 6 || (major == 6 && minor >= 14) ? IDS_HIGHEST :
							  pid_max();
}

void ids_choose(struct job *job)
{
	size_t count = 0, i, j, n = 0;
	int behind;
	int32_t *ids, start = IDS_LOWEST, best = 0, room = 0, end = pid_max();

	for (i = 0; i < job->process_count; i++)
		count += job->processes[i].thread_count + 1;
	count += job->tree->by_pid_count;
	ids = malloc((count + 1) * sizeof(*ids));
	if (!ids)
		fail("out of memory while choosing ids");
	for (i = 0; i < job->process_count; i++) {
		const struct job_process *p = &job->processes[i];

		ids[n++] = p->process->pid;
		for (j = 0; j < p->thread_count; j++)
			ids[n++] = p->threads[j].record->tid;
	}
	for (i = 0; i < job->tree->by_pid_count; i++)
		ids[n++] = job->tree->by_pid[i]->pid; /* the dead, too */
	qsort(ids, n, sizeof(*ids), ascending);
	/* As on this machine, if that will do. */
	if (ids[n - 1] >= end)
		end = ids_limit();
	job->pid_max = end;
	ids[n++] = end;
	/* Rather behind all of them, as it would have been, if there is room. */
	behind = n > 1 && end - ids[n - 2] > IDS_ROOM;
	if (behind) {
		best = ids[n - 2] + 1;
		room = end - best;
	}
	for (i = 0; i < n && !behind; i++) {
		if (ids[i] - start > room) {
			best = start;
			room = ids[i] - start;
		}
		if (ids[i] >= start)
			start = ids[i] + 1;
	}
	free(ids);
	if (room < IDS_HELPERS + 1024 + 16 * (int32_t)job->process_count)
		fail("the program's thread ids leave no room below %d: raise the limit, e.g. sysctl kernel.pid_max=4194304",
		     end);
	/* Of one process the helpers have known ids, those of many just come
	 * behind all others. */
	job->helper_tid = job->process_count > 1 ? 0 : best;
	job->last_pid = best + IDS_HELPERS;
	/* As far as can be, so that the program's next children do not meet
	 * it; but not the last one of all, where the numbers wrap. */
	job->agent_tid = best + room - 2;
}
