/* SPDX-License-Identifier: MIT */
/*
 * Descriptors: the kinds make the open file descriptions, this puts each at
 * its old numbers. While that goes on, whatever is ours stands at numbers that
 * the program does not use.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "restart/files.h"
#include "restart/kinds.h"
#include "restart/restore.h"
#include "restart/say.h"

/* What F_SETFL can change. */
#define SETTABLE (O_APPEND | O_NONBLOCK | O_ASYNC | O_DIRECT | O_NOATIME)

static int is_wanted(const struct ckpt_restore *r, int fd)
{
	return r->wanted && fd < r->wanted_end &&
	       (r->wanted[fd / 8] >> fd % 8 & 1);
}

/* ---- numbers ---- */

static void note_wanted(struct ckpt_restore *r)
{
	const struct job_process *p = r->process;
	size_t i;

	/* What init makes is beyond everybody's numbers. */
	r->wanted_end = r->job->commons_end;
	if (p == &r->job->commons)
		return;
	r->wanted_end = 3; /* streams the program has closed stay closed */
	for (i = 0; i < p->fd_count; i++)
		if (p->fds[i]->fd >= r->wanted_end)
			r->wanted_end = p->fds[i]->fd + 1;
	r->wanted = calloc((size_t)r->wanted_end / 8 + 1, 1);
	if (!r->wanted)
		fail("out of memory while restoring descriptors");
	for (i = 0; i < p->fd_count; i++)
		r->wanted[p->fds[i]->fd / 8] |=
			(unsigned char)(1 << p->fds[i]->fd % 8);
}

/* Ours and theirs together may exceed the soft limit; the program gets its
 * own limits back later, from the library. */
static void raise_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* -1: there is no room. */
static int lift_above(const struct ckpt_restore *r, int fd)
{
	int low = 3, high;

	high = fcntl(fd, F_DUPFD_CLOEXEC, r->wanted_end);
	while (high < 0 && errno == EINVAL) {
		/* The limit is there: a gap between theirs, then. */
		high = fcntl(fd, F_DUPFD_CLOEXEC, low);
		if (high < 0)
			break;
		if (!is_wanted(r, high))
			return high;
		low = high + 1;
		close(high);
		high = -1;
		errno = EINVAL;
		if (low >= r->wanted_end)
			break;
	}
	return high;
}

int descriptors_lift(struct ckpt_restore *r, int fd)
{
	int high;

	if (fd >= r->wanted_end && !is_wanted(r, fd)) {
		fcntl(fd, F_SETFD, FD_CLOEXEC);
		return fd;
	}
	high = lift_above(r, fd);
	if (high < 0)
		fail("the limit of descriptors is too low for the restart: ulimit -Hn is %ld, some hundreds more are needed",
		     sysconf(_SC_OPEN_MAX));
	close(fd);
	return high;
}

/* What has just been made for an object: to its number, if nothing stands
 * there, so that there need not be room for twice as many. */
static int settle(struct ckpt_restore *r, const struct job_object *o, int fd)
{
	int to = o->common ? -1 : o->first_fd;

	if (to < 0 || to == fd || fcntl(to, F_GETFD) >= 0 ||
	    dup3(fd, to, O_CLOEXEC) < 0) {
		if (to != fd || to < 0)
			return descriptors_lift(r, fd);
		fcntl(fd, F_SETFD, FD_CLOEXEC);
		return fd;
	}
	close(fd);
	return to;
}

/* Up to the next one that stays; many may stand there, so not one by one. */
static void close_gap(int from, int to)
{
	if (from < to)
		close_range((unsigned)from, (unsigned)to - 1, 0);
}

static int by_number(const void *a, const void *b)
{
	const int32_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* It has no number in the process, but is on its way through a socket, which
 * connect() sends it to. */
static int is_inside(const struct job_object *object)
{
	return object->first_fd < 0 && !object->common;
}

void descriptors_close_others(const struct ckpt_restore *r, const int32_t *keep,
			      size_t count)
{
	const struct job_process *p = r->process;
	int32_t *stay = malloc((count + p->fd_count + p->object_count + 1) *
			       sizeof(*stay));
	size_t n = 0, i;
	int32_t at = 0;

	if (!stay)
		fail("out of memory while restoring descriptors");
	for (i = 0; i < count; i++)
		if (keep[i] >= 0)
			stay[n++] = keep[i];
	for (i = 0; i < p->fd_count; i++)
		stay[n++] = p->fds[i]->fd;
	for (i = 0; i < p->object_count; i++)
		if (is_inside(&p->objects[i]))
			stay[n++] = r->made[i];
	qsort(stay, n, sizeof(*stay), by_number);
	for (i = 0; i < n; i++) {
		close_gap(at, stay[i]);
		at = stay[i] + 1;
	}
	close_range((unsigned)at, ~0u, 0);
	free(stay);
}

/* ---- what plugins may ask (ckpt/plugin.h) ---- */

static size_t index_of(const struct ckpt_restore *r,
		       const struct job_object *object)
{
	return (size_t)(object - r->process->objects);
}

int ckpt_object_fd(struct ckpt_restore *r, uint32_t object)
{
	const struct job_object *o = job_process_object(r->process, object);

	return o && r->made ? r->made[index_of(r, o)] : -1;
}

static int by_inode(const struct ckpt_object *object, uint32_t kind,
		    uint64_t ino)
{
	if (object->kind != kind)
		return object->kind < kind ? -1 : 1;
	return (object->ino > ino) - (object->ino < ino);
}

/* The first in the order of by_inode that is not below. */
static size_t inode_place(const struct ckpt_restore *r, uint32_t kind,
			  uint64_t ino)
{
	size_t low = 0, high = r->process->object_count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (by_inode(&r->views[r->by_inode[middle]], kind, ino) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct ckpt_object *ckpt_object_by_inode(struct ckpt_restore *r,
					       uint32_t kind, uint64_t ino,
					       const struct ckpt_object *after)
{
	size_t i = inode_place(r, kind, after ? after->ino : ino);

	for (; i < r->process->object_count; i++) {
		const struct ckpt_object *o = &r->views[r->by_inode[i]];

		if (o->kind != kind || (ino && o->ino != ino))
			return NULL;
		if (!after || o->ino != after->ino || o->id > after->id)
			return o;
	}
	return NULL;
}

/* Whose ids a record's body has. */
static const struct job_process *origin_of(const struct ckpt_restore *r,
					   const struct ckpt_object *object)
{
	const struct job_object *o;

	if (object == &r->record)
		return r->record_of;
	o = job_process_object(r->process, object->id);
	return o ? o->origin : NULL;
}

const struct ckpt_object *ckpt_object_named(struct ckpt_restore *r,
					    const struct ckpt_object *object,
					    uint32_t id)
{
	const struct job_process *origin = origin_of(r, object);
	const struct job_object *o =
		origin ? job_process_object(origin, id) : NULL;

	if (o && origin != r->process)
		o = o->common;
	return o ? &r->views[index_of(r, o)] : NULL;
}

int ckpt_object_is_common(struct ckpt_restore *r, uint32_t id)
{
	const struct job_object *o = job_process_object(r->process, id);

	return o && o->common;
}

int ckpt_old_fd(struct ckpt_restore *r, int fd)
{
	size_t i;

	for (i = 0; i < r->process->fd_count; i++)
		if (r->process->fds[i]->fd == fd)
			return r->placed ? fd
					 : ckpt_object_fd(
						   r,
						   r->process->fds[i]->object);
	return -1;
}

int ckpt_open_file(struct ckpt_restore *r, const struct ckpt_object *object,
		   int flags)
{
	const struct job_process *origin = origin_of(r, object);
	const struct job_file *f =
		origin ? job_process_file(origin, object->file) : NULL;

	return f ? files_open(f, flags) : -ENOENT;
}

int ckpt_standard_stream(struct ckpt_restore *r, int number)
{
	int fd;

	if (number < 0 || number > 2)
		return -EINVAL;
	r->asked = 1;
	if (r->streams[number] < 0)
		fd = open("/dev/null", O_RDWR | O_CLOEXEC | O_NOCTTY);
	else
		fd = lift_above(r, r->streams[number]);
	return fd < 0 ? -errno : fd;
}

int ckpt_foreground(struct ckpt_restore *r)
{
	return r->job->foreground && r->job->had_foreground;
}

void ckpt_report(struct ckpt_restore *r, const char *format, ...)
{
	char line[400];
	va_list ap;

	(void)r;
	va_start(ap, format);
	vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	report("%s", line);
}

int ckpt_adopt(struct ckpt_restore *r, uint32_t object, int fd)
{
	const struct job_object *o = job_process_object(r->process, object);

	if (!o || r->made[index_of(r, o)] >= 0) {
		close(fd);
		return -EEXIST;
	}
	r->made[index_of(r, o)] = settle(r, o, fd);
	return 0;
}

int ckpt_as(struct ckpt_restore *r, int pid, int (*call)(void *),
	    void *argument, size_t size)
{
	struct clone_args args = {
		.flags = CLONE_FILES | CLONE_FS,
		.exit_signal = 0,
		.set_tid = (uint64_t)(uintptr_t)&pid,
		.set_tid_size = 1,
	};
	struct answer {
		int ret;
		char argument[];
	} *answer;
	pid_t made;
	int ret;

	(void)r;
	if (pid <= 0 || pid == getpid())
		return call(argument);
	answer = mmap(NULL, sizeof(*answer) + size, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (answer == MAP_FAILED)
		return call(argument);
	memcpy(answer->argument, argument, size);
	answer->ret = -ECHILD;
	made = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	if (made == 0) {
		answer->ret = call(answer->argument);
		_exit(0);
	}
	if (made > 0)
		waitpid(made, NULL, __WALL);
	memcpy(argument, answer->argument, size);
	ret = answer->ret;
	munmap(answer, sizeof(*answer) + size);
	return made < 0 ? call(argument) : ret;
}

/* ---- the steps ---- */

static struct ckpt_object view(const struct job_object *o)
{
	return (struct ckpt_object){
		.id = o->record->id,
		.kind = o->kind,
		.status_flags = o->record->status_flags,
		.position = o->record->position,
		.dev = o->record->dev,
		.ino = o->record->ino,
		.body = o->body,
		.length = o->length,
		.file = o->record->file,
		.first_fd = o->first_fd,
		.holders = o->member_count ? (int)o->member_count : 1,
		.pid = o->origin->process->pid,
		.label = o->label,
	};
}

const struct ckpt_object *ckpt_object_record(struct ckpt_restore *r,
					     const struct ckpt_object *object,
					     size_t nth)
{
	const struct job_object *o = job_process_object(r->process, object->id);

	if (o && o->common)
		o = o->common;
	if (!o || nth >= (o->member_count ? o->member_count : 1))
		return NULL;
	if (!o->member_count)
		return &r->views[index_of(r, o)];
	r->record = view(o->members[nth]);
	r->record.id = object->id;
	r->record_of = o->members[nth]->origin;
	return &r->record;
}

void descriptors_check(struct job *job)
{
	size_t i, j;

	for (i = 0; i < job->process_count; i++) {
		const struct job_process *p = &job->processes[i];
		struct ckpt_restore r = {.job = job, .process = p};

		for (j = 0; j < p->object_count; j++) {
			struct ckpt_object object = view(&p->objects[j]);
			const struct ckpt_restorer *k =
				kinds_restorer(object.kind);
			int ret = k->check ? k->check(&r, &object) : 0;

			if (ret < 0) {
				report_print();
				fail("%s cannot be restored: %s", object.label,
				     strerror(-ret));
			}
		}
	}
}

/* Position and flags are the description's, whatever its kind. */
static void describe(const struct job_object *o,
		     const struct ckpt_restorer *kind, int fd, int standard)
{
	const struct image_object *record = o->record;
	int flags = fcntl(fd, F_GETFL);

	if (standard) {
		/* Shared with whoever started us: nothing of theirs is taken
		 * away, and only what the program relies on is added. */
		if ((record->status_flags & O_NONBLOCK) && flags >= 0)
			fcntl(fd, F_SETFL, flags | O_NONBLOCK);
		return;
	}
	if (!kind->no_position && record->position > 0 &&
	    lseek(fd, record->position, SEEK_SET) < 0 && errno != ESPIPE)
		fail("%s: cannot go to position %lld: %s", o->label,
		     (long long)record->position, strerror(errno));
	if (flags >= 0 && !(flags & O_PATH) &&
	    (flags & SETTABLE) != ((int)record->status_flags & SETTABLE))
		fcntl(fd, F_SETFL,
		      (flags & ~SETTABLE) |
			      ((int)record->status_flags & SETTABLE));
}

/* So is the owner of its signals, but he has to be there first. */
static void describe_owner(const struct job_object *o, int fd)
{
	const struct image_object *record = o->record;
	struct f_owner_ex owner = {record->owner_type, record->owner};

	if (record->signal && fcntl(fd, F_SETSIG, record->signal) < 0)
		report("%s: its signal could not be set: %s", o->label,
		       strerror(errno));
	if (record->owner_type >= 0 && record->owner > 0 &&
	    fcntl(fd, F_SETOWN_EX, &owner) < 0)
		report("%s: the owner of its signals is gone", o->label);
}

/* The numbers of ours that the program may have: away from there. Init's own
 * stay, for the processes. */
static void move_streams(struct ckpt_restore *r)
{
	int i;

	for (i = 0; i < 3; i++) {
		r->streams[i] = -1;
		if (fcntl(i, F_GETFD) < 0)
			continue;
		if (r->process != &r->job->commons)
			r->streams[i] = descriptors_lift(r, i);
		else
			r->streams[i] = fcntl(i, F_DUPFD_CLOEXEC,
					      r->wanted_end);
	}
}

static int inode_order(const void *a, const void *b, void *restore)
{
	const struct ckpt_restore *r = restore;
	const struct ckpt_object *x = &r->views[*(const uint32_t *)a];
	const struct ckpt_object *y = &r->views[*(const uint32_t *)b];
	int order = by_inode(x, y->kind, y->ino);

	return order ? order : (x->id > y->id) - (x->id < y->id);
}

static void *array(size_t count, size_t size)
{
	void *memory = calloc(count + 1, size);

	if (!memory)
		fail("out of memory while restoring descriptors");
	return memory;
}

static void begin(struct ckpt_restore *r, const struct job *job,
		  const struct job_process *p)
{
	size_t count = p->object_count;
	uint32_t i;

	memset(r, 0, sizeof(*r));
	r->job = job;
	r->process = p;
	raise_limit();
	note_wanted(r);
	r->made = array(count, sizeof(*r->made));
	r->standard = array(count, sizeof(*r->standard));
	r->views = array(count, sizeof(*r->views));
	r->by_inode = array(count, sizeof(*r->by_inode));
	for (i = 0; i < count; i++) {
		r->views[i] = view(&p->objects[i]);
		r->by_inode[i] = i;
		r->made[i] = -1;
	}
	qsort_r(r->by_inode, count, sizeof(*r->by_inode), inode_order, r);
}

static void open_all(struct ckpt_restore *r)
{
	const struct job_process *p = r->process;
	size_t i;
	int fd;

	for (i = 0; i < p->object_count; i++) {
		if (r->made[i] >= 0)
			continue;
		r->asked = 0;
		fd = kinds_restorer(r->views[i].kind)->open(r, &r->views[i]);
		if (fd == -EALREADY && r->made[i] >= 0)
			continue;
		if (fd < 0)
			fail("%s cannot be opened again: %s", r->views[i].label,
			     strerror(-fd));
		r->standard[i] = r->asked;
		r->made[i] = settle(r, &p->objects[i], fd);
	}
	for (i = 0; i < p->object_count; i++)
		if (!p->objects[i].common)
			describe(&p->objects[i],
				 kinds_restorer(p->objects[i].kind), r->made[i],
				 r->standard[i]);
}

static void connect_all(struct ckpt_restore *r)
{
	const struct job_process *p = r->process;
	size_t i;

	for (i = 0; i < p->object_count; i++) {
		const struct ckpt_object *object = &r->views[i];
		const struct ckpt_restorer *k = kinds_restorer(object->kind);
		int ret = 0;

		if (k->connect && !p->objects[i].common)
			ret = k->connect(r, object, r->made[i]);
		if (ret < 0)
			fail("%s cannot be restored: %s", object->label,
			     strerror(-ret));
	}
}

void descriptors_share(struct ckpt_restore *r, struct job *job)
{
	int i;

	begin(r, job, &job->commons);
	move_streams(r);
	if (job->groups > 1)
		meeting_hold(r);
	open_all(r);
	connect_all(r);
	for (i = 0; i < 3; i++)
		if (r->streams[i] >= 0)
			close(r->streams[i]);
	job->commons_fds = r->made;
}

void descriptors_open(struct ckpt_restore *r, const struct job *job,
		      const struct job_process *p)
{
	size_t i;

	begin(r, job, p);
	/* The error pipe first: from now on it can be used again. */
	say_from_child(descriptors_lift(r, say_error_fd()),
		       descriptors_lift(r, say_report_fd()));
	move_streams(r);
	for (i = 0; i < p->object_count; i++)
		if (p->objects[i].common)
			r->made[i] = job->commons_fds[p->objects[i].common -
						      job->commons.objects];
	open_all(r);
}

static void place(int from, int to, int flags)
{
	int ret = from == to ? fcntl(to, F_SETFD, flags)
			     : dup3(from, to, flags ? O_CLOEXEC : 0);

	if (ret < 0)
		fail("descriptor %d cannot be made: %s (ulimit -Hn is %ld)", to,
		     strerror(errno), sysconf(_SC_OPEN_MAX));
}

/* What is common stands, where there was room, at the number that one of its
 * processes has it at. Here something else may belong there. */
static void make_way(struct ckpt_restore *r)
{
	const struct job_process *p = r->process;
	size_t i;

	for (i = 0; i < p->object_count; i++)
		if (r->made[i] != p->objects[i].first_fd &&
		    is_wanted(r, r->made[i]))
			r->made[i] = descriptors_lift(r, r->made[i]);
}

/* The copies at high numbers go at once: a posix lock, which hold() takes, is
 * dropped by any close of its file. */
void descriptors_place(struct ckpt_restore *r)
{
	const struct job_process *p = r->process;
	size_t i;

	make_way(r);
	for (i = 0; i < p->fd_count; i++) {
		const struct image_fd *fd = p->fds[i];
		const struct job_object *o = job_process_object(p, fd->object);
		int *made = o ? &r->made[index_of(r, o)] : NULL;

		if (!made)
			fail("descriptor %d leads to no object", fd->fd);
		place(*made, fd->fd, fd->flags & FD_CLOEXEC);
		if (fd->fd != o->first_fd || *made == fd->fd)
			continue;
		close(*made);
		*made = fd->fd;
	}
	r->placed = 1;
}

void descriptors_connect(struct ckpt_restore *r)
{
	const struct job_process *p = r->process;
	size_t i;

	connect_all(r);
	for (i = 0; i < p->object_count; i++)
		if (is_inside(&p->objects[i]))
			close(r->made[i]);
	for (i = 0; i < p->object_count; i++) {
		const struct job_object *o = &p->objects[i];
		const struct ckpt_object *object = &r->views[i];
		const struct ckpt_restorer *k = kinds_restorer(object->kind);
		int ret = 0;

		if (o->first_fd < 0)
			continue;
		if (k->hold)
			ret = k->hold(r, object, r->made[i]);
		if (ret < 0)
			fail("%s cannot be restored: %s", object->label,
			     strerror(-ret));
		/* By one of them: him whose record it is. */
		if (!r->standard[i] && (!o->common || o->common->origin == p))
			describe_owner(o, r->made[i]);
	}
}

int descriptors_for_file(const struct ckpt_restore *r,
			 const struct job_file *file, int writable)
{
	const struct job_process *p = r->process;
	size_t i;

	for (i = 0; i < p->object_count; i++) {
		int flags = (int)p->objects[i].record->status_flags;
		int mode = flags & O_ACCMODE;

		if (p->objects[i].file == file && p->objects[i].first_fd >= 0 &&
		    !(flags & O_PATH) &&
		    (mode == O_RDWR || (mode == O_RDONLY && !writable)))
			return p->objects[i].first_fd;
	}
	return -1;
}
