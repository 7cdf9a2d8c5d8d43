/* SPDX-License-Identifier: MIT */
/*
 * What no process can tell of itself: who is whose child, and which of the
 * children are dead and not fetched yet. Looked up while everybody is parked,
 * told when they run again.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/members.h"
#include "agent/now.h"
#include "agent/proc.h"
#include "agent/uplink.h"

/* ---- the tree ---- */

/* The sessions and groups of everybody who is not of this group: a number
 * whose owner has gone is theirs as long as one of them bears it. Read when
 * the first such number is met. */
static struct {
	pid_t *ids;
	size_t count, room;
	int read;
} outside;

static void outside_add(pid_t id)
{
	if (outside.count == outside.room) {
		size_t room = outside.room ? 2 * outside.room : 256;
		pid_t *more = reallocarray(outside.ids, room, sizeof(*more));

		if (!more)
			return;
		outside.ids = more;
		outside.room = room;
	}
	outside.ids[outside.count++] = id;
}

static void outside_look(pid_t pid, void *data)
{
	struct proc_stat stat;

	(void)data;
	if (part_find(pid) || proc_stat(pid, 0, &stat) < 0 ||
	    (stat.state == 'Z' && part_find(stat.ppid)) || writer_is(pid))
		return;
	outside_add(stat.pgid);
	outside_add(stat.sid);
}

static int by_number(const void *a, const void *b)
{
	pid_t x = *(const pid_t *)a, y = *(const pid_t *)b;

	return (x > y) - (x < y);
}

static int bears_outside(pid_t id)
{
	if (!outside.read) {
		proc_everybody(outside_look, NULL);
		if (outside.count)
			qsort(outside.ids, outside.count, sizeof(*outside.ids),
			      by_number);
		outside.read = 1;
	}
	return outside.count && bsearch(&id, outside.ids, outside.count,
					sizeof(*outside.ids), by_number);
}

static void outside_forget(void)
{
	free(outside.ids);
	memset(&outside, 0, sizeof(outside));
}

/* The last two; while everybody is parked this stays the same. */
static struct {
	pid_t pid, answer;
} asked[2];

static pid_t look_inside(pid_t pid)
{
	struct proc_stat stat;

	if (proc_stat(pid, 0, &stat) < 0 || stat.state == 'X')
		return bears_outside(pid) ? 0 : pid;
	return stat.state == 'Z' && part_find(stat.ppid) ? pid : 0;
}

/* Somebody of the group, or somebody who has gone: their number stays, unless
 * others bear it. One who is alive and not of the group stays outside. */
static pid_t inside(pid_t pid)
{
	if (pid <= 0 || part_find(pid))
		return pid > 0 ? pid : 0;
	if (pid == asked[1].pid)
		return asked[1].answer;
	if (pid != asked[0].pid) { /* whole trees are of one session and group */
		asked[1] = asked[0];
		asked[0].pid = pid;
		asked[0].answer = look_inside(pid);
	}
	return asked[0].answer;
}

struct process {
	pid_t pid, ppid, pgid, sid;
	const char *state;
	int status;
	char program[24];
	json_t *ids;
};

static struct {
	struct process *list;
	size_t count, room;
} tree;

static void add_process(pid_t pid, const struct proc_stat *stat,
			const char *state)
{
	struct process *process;

	if (tree.count == tree.room) {
		size_t room = tree.room ? 2 * tree.room : 64;
		void *list = reallocarray(tree.list, room, sizeof(*process));

		if (!list) {
			ending_fail(NULL, -ENOMEM, "looking at the tree");
			return;
		}
		tree.list = list;
		tree.room = room;
	}
	process = &tree.list[tree.count++];
	process->pid = pid;
	process->ppid = part_find(stat->ppid) ? stat->ppid : 0;
	process->sid = inside(stat->sid);
	process->pgid = process->sid ? stat->pgid : inside(stat->pgid);
	process->state = state;
	process->status = stat->state == 'Z' ? stat->wait_status : 0;
	memcpy(process->program, stat->comm, sizeof(process->program));
	process->ids = stat->state == 'Z' ? NULL : ids_report(pid);
}

/* The parts' children that are no parts: zombies are still theirs to fetch.
 * STOP has just looked at all children. */
static void add_zombies(void)
{
	const pid_t *list;
	size_t count = members_dead_children(&list), i;
	struct proc_stat stat;

	for (i = 0; i < count; i++)
		if (!part_find(list[i]) && proc_stat(list[i], 0, &stat) == 0 &&
		    stat.state == 'Z' && part_find(stat.ppid))
			add_process(list[i], &stat, "zombie");
}

static void look_at_processes(void)
{
	struct proc_stat stat;

	for (struct part *p = now.parts; p && now.state == RUNNING;
	     p = p->next) {
		if (proc_stat(p->pid, 0, &stat) < 0)
			continue; /* the death is noticed elsewhere */
		if (stat.state == 'Z')
			stat.state = 'R'; /* its leader alone has ended */
		p->ppid = stat.ppid;
		add_process(p->pid, &stat, p->woken ? "stopped" : "running");
	}
	add_zombies();
	outside_forget();
	memset(asked, 0, sizeof(asked));
}

json_t *tree_report(void)
{
	json_t *list = json_array(), *entry;
	size_t i;

	for (i = 0; i < tree.count; i++) {
		const struct process *process = &tree.list[i];

		entry = json_pack("{s:i, s:i, s:i, s:i, s:s, s:i, s:o}", "pid",
				  (int)process->pid, "ppid",
				  (int)process->ppid, "pgid",
				  (int)process->pgid, "sid", (int)process->sid,
				  "state", process->state, "status",
				  process->status, "program",
				  wire_text(process->program));
		if (process->ids)
			json_object_set(entry, "ids", process->ids);
		json_array_append_new(list, entry);
	}
	return list;
}

void tree_look(void)
{
	tree.count = 0;
	look_at_processes();
}

void tree_forget(void)
{
	size_t i;

	for (i = 0; i < tree.count; i++)
		json_decref(tree.list[i].ids);
	free(tree.list);
	memset(&tree, 0, sizeof(tree));
}
