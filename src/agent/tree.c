/* SPDX-License-Identifier: MIT */
/*
 * What no process can tell of itself: who is whose child, which of the
 * children are dead and not fetched yet, and which descriptors of different
 * processes stand for one open file description. Looked up while everybody is
 * parked. Only descriptors of the same file are compared, by sorting, so that
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

static void add_process(json_t *tree, pid_t pid, const struct proc_stat *stat,
			const char *state)
{
	pid_t session = inside(stat->sid);
	json_t *ids = stat->state == 'Z' ? NULL : ids_report(pid), *process;

	process = json_pack(
		"{s:i, s:i, s:i, s:i, s:s, s:i, s:o}", "pid", (int)pid, "ppid",
		(int)(part_find(stat->ppid) ? stat->ppid : 0), "pgid",
		(int)(session ? stat->pgid : inside(stat->pgid)), "sid",
		(int)session, "state", state, "status",
		stat->state == 'Z' ? stat->wait_status : 0, "program",
		wire_text(stat->comm));
	if (ids)
		json_object_set_new(process, "ids", ids);
	json_array_append_new(tree, process);
}

/* The parts' children that are no parts: zombies are still theirs to fetch. */
static void add_zombie(pid_t pid, void *tree)
{
	struct proc_stat stat;

	if (!part_find(pid) && proc_stat(pid, 0, &stat) == 0 &&
	    stat.state == 'Z')
		add_process(tree, pid, &stat, "zombie");
}

json_t *tree_report(void)
{
	json_t *tree = json_array();
	struct proc_stat stat;

	for (struct part *p = now.parts; p; p = p->next) {
		if (proc_stat(p->pid, 0, &stat) < 0)
			continue; /* the death is noticed elsewhere */
		if (stat.state == 'Z')
			stat.state = 'R'; /* its leader alone has ended */
		p->ppid = stat.ppid;
		add_process(tree, p->pid, &stat,
			    p->woken ? "stopped" : "running");
		proc_children(p->pid, add_zombie, tree);
	}
	outside_forget();
	asked.pid = 0;
	return tree;
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

static void note_descriptors(struct holders *all, pid_t pid)
{
	struct dirent *entry;
	struct stat st;
	char path[32];
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	while (dir && (entry = readdir(dir)))
		if (*entry->d_name != '.' &&
		    fstatat(dirfd(dir), entry->d_name, &st, 0) == 0)
			note(all, pid, pid, atoi(entry->d_name), &st);
	if (dir)
		closedir(dir);
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

/* Of equal descriptions the lowest descriptor of each process. */
static void add_class(json_t *shared, const struct holder *first, size_t count)
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
	json_array_append_new(shared, class);
}

json_t *tree_shared(void)
{
	json_t *shared = json_array();
	struct holders all = {0};
	size_t i, from = 0;

	if (now.parts && !now.parts->next)
		return shared; /* one process shares with nobody */
	for (struct part *p = now.parts; p; p = p->next) {
		note_descriptors(&all, p->pid);
		if (p->inside_tid)
			note_inside(&all, p->pid, p->inside_tid);
	}
	if (all.lost)
		ending_fail(NULL, -ENOMEM, "comparing descriptors");
	if (all.count)
		qsort(all.list, all.count, sizeof(*all.list), full_order);
	for (i = 1; i <= all.count; i++) {
		if (i < all.count &&
		    file_order(&all.list[i - 1], &all.list[i]) == 0 &&
		    description_order(&all.list[i - 1], &all.list[i]) == 0)
			continue;
		add_class(shared, &all.list[from], i - from);
		from = i;
	}
	free(all.list);
	return shared;
}
