/* SPDX-License-Identifier: MIT */
/*
 * The descriptors of all processes, looked at once while everybody is parked:
 * which are sockets, and which of different processes stand for one open file
 * description. Only descriptors of the same file are compared, with the few
 * descriptions that were seen of it, or by sorting where there are many: so
 * the work grows with their number and not with its square.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <linux/kcmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/now.h"
#include "agent/proc.h"

#define FEW 4 /* descriptions of one file */

struct holder {
	pid_t pid, tid; /* of the task whose table it is */
	int fd, is_socket;
	unsigned class; /* of its file */
	dev_t dev;
	ino_t ino;
};

static struct {
	struct holder *list;
	size_t count, room;
	int looked, lost; /* lost: out of memory */
	/* Compared: those of one description side by side, how many of each.
	 * Those that one process alone has of a file count as one. */
	size_t *classes, class_count;
} all;

/* ---- looking ---- */

static void note(pid_t pid, pid_t tid, int fd, const struct stat *st)
{
	if (all.count == all.room) {
		size_t room = all.room ? 2 * all.room : 256;
		void *list = reallocarray(all.list, room, sizeof(*all.list));

		if (!list) {
			all.lost = 1;
			return;
		}
		all.list = list;
		all.room = room;
	}
	all.list[all.count++] = (struct holder){
		.pid = pid, .tid = tid, .fd = fd,
		.is_socket = S_ISSOCK(st->st_mode),
		.dev = st->st_dev, .ino = st->st_ino};
}

static void note_descriptor(int dir, const char *name, void *data)
{
	const struct part *p = data;
	struct stat st;

	if (fstatat(dir, name, &st, 0) == 0)
		note(p->pid, p->pid, atoi(name), &st);
}

static int note_descriptors(struct part *p)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/fd", p->pid);
	return proc_numbers(path, note_descriptor, p);
}

/* Those on their way through sockets: the service thread has looked and has
 * got them, at numbers that the program does not use. */
static void note_inside(pid_t pid, pid_t tid)
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
			note(pid, tid, atoi(entry->d_name), &st);
	}
	if (dir)
		closedir(dir);
}

void descriptors_look(void)
{
	if (all.looked)
		return;
	all.looked = 1;
	for (struct part *p = now.parts; p; p = p->next)
		p->is_hidden = note_descriptors(p) == -EACCES;
}

int descriptors_sockets(void (*found)(ino_t ino))
{
	size_t i;

	for (i = 0; i < all.count; i++)
		if (all.list[i].is_socket)
			found(all.list[i].ino);
	return all.lost ? -ENOMEM : 0;
}

/* ---- comparing ---- */

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

static int place_order(const struct holder *a, const struct holder *b)
{
	if (a->pid != b->pid)
		return a->pid < b->pid ? -1 : 1;
	return (a->fd > b->fd) - (a->fd < b->fd);
}

static int file_order(const void *left, const void *right)
{
	const struct holder *a = left, *b = right;

	if (a->dev != b->dev)
		return a->dev < b->dev ? -1 : 1;
	if (a->ino != b->ino)
		return a->ino < b->ino ? -1 : 1;
	return place_order(a, b);
}

static int full_order(const void *left, const void *right)
{
	int order = description_order(left, right);

	return order ? order : place_order(left, right);
}

static int class_order(const void *left, const void *right)
{
	const struct holder *a = left, *b = right;

	if (a->class != b->class)
		return a->class < b->class ? -1 : 1;
	return place_order(a, b);
}

/* 0: there are too many descriptions of this file. */
static int compare_with_few(struct holder *file, size_t count)
{
	size_t first[FEW], i;
	unsigned classes = 0, c;

	for (i = 0; i < count; i++) {
		for (c = 0; c < classes; c++)
			if (!description_order(&file[first[c]], &file[i]))
				break;
		if (c == FEW)
			return 0;
		if (c == classes)
			first[classes++] = i;
		file[i].class = c;
	}
	if (classes > 1)
		qsort(file, count, sizeof(*file), class_order);
	return 1;
}

static void compare_by_sorting(struct holder *file, size_t count)
{
	size_t i;

	qsort(file, count, sizeof(*file), full_order);
	file[0].class = 0;
	for (i = 1; i < count; i++)
		file[i].class = file[i - 1].class +
				(description_order(&file[i - 1], &file[i]) != 0);
}

/* Descriptors of one file, in the order of their places. What only one process
 * has is not asked for. */
static void compare_file(struct holder *file, size_t count)
{
	size_t i, from = 0;

	if (file[0].pid == file[count - 1].pid) {
		all.classes[all.class_count++] = count;
		return;
	}
	if (!compare_with_few(file, count))
		compare_by_sorting(file, count);
	for (i = 1; i <= count; i++) {
		if (i < count && file[i].class == file[i - 1].class)
			continue;
		all.classes[all.class_count++] = i - from;
		from = i;
	}
}

static int is_same_file(const struct holder *a, const struct holder *b)
{
	return a->dev == b->dev && a->ino == b->ino;
}

void descriptors_compare(void)
{
	size_t i, from = 0;

	if (!now.parts || !now.parts->next)
		return; /* one process shares with nobody */
	descriptors_look();
	for (struct part *p = now.parts; p; p = p->next)
		if (p->inside_tid)
			note_inside(p->pid, p->inside_tid);
	all.classes = reallocarray(NULL, all.count + 1, sizeof(*all.classes));
	if (all.lost || !all.classes) {
		ending_fail(NULL, -ENOMEM, "comparing descriptors");
		return;
	}
	if (all.count)
		qsort(all.list, all.count, sizeof(*all.list), file_order);
	for (i = 1; i <= all.count; i++) {
		if (i < all.count &&
		    is_same_file(&all.list[i - 1], &all.list[i]))
			continue;
		compare_file(&all.list[from], i - from);
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

json_t *descriptors_shared(void)
{
	const struct holder *first = all.list;
	json_t *list = json_array();
	size_t i;

	for (i = 0; i < all.class_count; i++) {
		add_class(list, first, all.classes[i]);
		first += all.classes[i];
	}
	return list;
}

void descriptors_forget(void)
{
	free(all.list);
	free(all.classes);
	memset(&all, 0, sizeof(all));
}
