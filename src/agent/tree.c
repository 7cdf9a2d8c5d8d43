/* SPDX-License-Identifier: MIT */
/*
 * What no process can tell of itself: who is whose child, which of the
 * children are dead and not fetched yet, and which descriptors of different
 * processes stand for one open file description. Looked up while everybody is
 * parked, told when they run again. Only descriptors of the same file are compared, by sorting, so that
 * the work grows with their number and not with its square.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

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

/* While everybody is parked this stays the same. */
static struct {
	pid_t pid, answer;
} asked;

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
	if (pid != asked.pid) { /* whole trees are of one session */
		asked.pid = pid;
		asked.answer = look_inside(pid);
	}
	return asked.answer;
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

	tree.count = 0;
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
	asked.pid = 0;
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

/* ---- shared descriptions ---- */

struct holder {
	pid_t pid, tid; /* of the task whose table it is */
	int fd;
	dev_t dev;
	ino_t ino;
};

struct holders {
	struct holder *list;
	size_t count, room;
	int lost; /* out of memory */
};

/* Sorted: those of one description side by side. Of each the number. */
static struct {
	struct holders all;
	size_t *classes;
	size_t count;
} shared;

static void note(struct holders *all, pid_t pid, pid_t tid, int fd,
		 const struct stat *st)
{
	if (all->count == all->room) {
		size_t room = all->room ? 2 * all->room : 256;
		void *list = realloc(all->list, room * sizeof(*all->list));

		if (!list) {
			all->lost = 1;
			return;
		}
		all->list = list;
		all->room = room;
	}
	all->list[all->count++] =
		(struct holder){pid, tid, fd, st->st_dev, st->st_ino};
}

static void note_descriptor(int dir, const char *name, void *data)
{
	const struct part *p = data;
	struct stat st;

	if (fstatat(dir, name, &st, 0) == 0)
		note(&shared.all, p->pid, p->pid, atoi(name), &st);
}

static void note_descriptors(struct part *p)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/fd", p->pid);
	proc_numbers(path, note_descriptor, p);
}

/* Those on their way through sockets: the service thread has looked and has
 * got them, at numbers that the program does not use. */
static void note_inside(struct holders *all, pid_t pid, pid_t tid)
{
	char path[64], own[64];
	struct dirent *entry;
	struct stat st;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/fd", pid, tid);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		if (*entry->d_name == '.')
			continue;
		snprintf(own, sizeof(own), "/proc/%d/fd/%.20s", pid,
			 entry->d_name);
		if (lstat(own, &st) < 0 &&
		    fstatat(dirfd(dir), entry->d_name, &st, 0) == 0)
			note(all, pid, tid, atoi(entry->d_name), &st);
	}
	if (dir)
		closedir(dir);
}

/* <0, 0, >0: in the kernel's order of descriptions. It has no meaning, but
 * equal ones come to stand side by side. */
static int description_order(const struct holder *a, const struct holder *b)
{
	long ret = syscall(SYS_kcmp, a->tid, b->tid, KCMP_FILE, a->fd, b->fd);

	if (ret == 0)
		return 0;
	if (ret == 1)
		return -1;
	if (ret == 2)
		return 1;
	/* Not allowed: they count as different ones. */
	if (a->pid != b->pid)
		return a->pid < b->pid ? -1 : 1;
	return a->fd < b->fd ? -1 : a->fd > b->fd;
}

static int file_order(const void *left, const void *right)
{
	const struct holder *a = left, *b = right;

	if (a->dev != b->dev)
		return a->dev < b->dev ? -1 : 1;
	if (a->ino != b->ino)
		return a->ino < b->ino ? -1 : 1;
	return 0;
}

static int full_order(const void *left, const void *right)
{
	const struct holder *a = left, *b = right;
	int order = file_order(a, b);

	if (!order)
		order = description_order(a, b);
	if (!order && a->pid != b->pid)
		order = a->pid < b->pid ? -1 : 1;
	if (!order && a->fd != b->fd)
		order = a->fd < b->fd ? -1 : 1;
	return order;
}

static void look_at_descriptors(void)
{
	struct holders *all = &shared.all;
	size_t i, from = 0;

	all->count = shared.count = 0;
	all->lost = 0;
	if (now.parts && !now.parts->next)
		return; /* one process shares with nobody */
	for (struct part *p = now.parts; p; p = p->next) {
		note_descriptors(p);
		if (p->inside_tid)
			note_inside(all, p->pid, p->inside_tid);
	}
	free(shared.classes);
	shared.classes = reallocarray(NULL, all->count + 1,
				      sizeof(*shared.classes));
	if (all->lost || !shared.classes) {
		ending_fail(NULL, -ENOMEM, "comparing descriptors");
		return;
	}
	if (all->count)
		qsort(all->list, all->count, sizeof(*all->list), full_order);
	for (i = 1; i <= all->count; i++) {
		if (i < all->count &&
		    file_order(&all->list[i - 1], &all->list[i]) == 0 &&
		    description_order(&all->list[i - 1], &all->list[i]) == 0)
			continue;
		shared.classes[shared.count++] = i - from;
		from = i;
	}
}

/* Of equal descriptions the lowest descriptor of each process. */
static void add_class(json_t *list, const struct holder *first, size_t count)
{
	json_t *class;
	size_t i;

	if (first[0].pid == first[count - 1].pid)
		return;
	class = json_array();
	for (i = 0; i < count; i++)
		if (i == 0 || first[i].pid != first[i - 1].pid)
			json_array_append_new(
				class, json_pack("[i, i]", (int)first[i].pid,
						 first[i].fd));
	json_array_append_new(list, class);
}

json_t *tree_shared(void)
{
	const struct holder *first = shared.all.list;
	json_t *list = json_array();
	size_t i;

	for (i = 0; i < shared.count; i++) {
		add_class(list, first, shared.classes[i]);
		first += shared.classes[i];
	}
	return list;
}

void tree_look(void)
{
	look_at_processes();
	look_at_descriptors();
}

void tree_forget(void)
{
	size_t i;

	for (i = 0; i < tree.count; i++)
		json_decref(tree.list[i].ids);
	free(tree.list);
	free(shared.all.list);
	free(shared.classes);
	memset(&tree, 0, sizeof(tree));
	memset(&shared, 0, sizeof(shared));
}
