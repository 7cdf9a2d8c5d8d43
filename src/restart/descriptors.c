/* SPDX-License-Identifier: MIT */
/*
 * Descriptors: the kinds make the open file descriptions, this puts each at
 * its old numbers. While that goes on, whatever is ours stands at numbers that
 * the program does not use.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "restart/files.h"
#include "restart/kinds.h"
#include "restart/restore.h"
#include "restart/say.h"

/* What F_SETFL can change. */
#define SETTABLE (O_APPEND | O_NONBLOCK | O_ASYNC | O_DIRECT | O_NOATIME)

static int is_wanted(const struct ckpt_restore *r, int fd)
{
	return fd < r->wanted_end && (r->wanted[fd / 8] >> fd % 8 & 1);
}

/* ---- numbers ---- */

static void note_wanted(struct ckpt_restore *r)
{
	const struct job_process *p = r->process;
	size_t i;

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

static int lift_above(struct ckpt_restore *r, int fd)
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

void descriptors_close_others(const struct ckpt_restore *r, const int32_t *keep,
			      size_t count)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;
	size_t i;

	if (!dir)
		fail("/proc/self/fd: %s", strerror(errno));
	while ((entry = readdir(dir))) {
		int fd = atoi(entry->d_name);

		if (*entry->d_name == '.' || fd == dirfd(dir) ||
		    is_wanted(r, fd))
			continue;
		for (i = 0; i < count && keep[i] != fd; i++)
			;
		if (i == count)
			close(fd);
	}
	closedir(dir);
}

/* ---- what plugins may ask (ckpt/plugin.h) ---- */

static const struct job_object *object_of(const struct ckpt_restore *r,
					  uint32_t id, size_t *index)
{
	size_t i;

	for (i = 0; i < r->process->object_count; i++)
		if (r->process->objects[i].record->id == id) {
			*index = i;
			return &r->process->objects[i];
		}
	return NULL;
}

int ckpt_object_fd(struct ckpt_restore *r, uint32_t object)
{
	size_t index;

	if (!r->made || !object_of(r, object, &index))
		return -1;
	return r->made[index];
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

int ckpt_open_file(struct ckpt_restore *r, uint32_t file, int flags)
{
	const struct job_file *f = job_process_file(r->process, file);

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
		fd = fcntl(r->streams[number], F_DUPFD_CLOEXEC, r->wanted_end);
	return fd < 0 ? -errno : fd;
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
	size_t index;

	if (!object_of(r, object, &index) || r->made[index] >= 0) {
		close(fd);
		return -EEXIST;
	}
	r->made[index] = descriptors_lift(r, fd);
	return 0;
}

/* ---- the steps ---- */

static struct ckpt_object view(const struct job_object *o)
{
	return (struct ckpt_object){
		.id = o->record->id,
		.kind = o->kind,
		.status_flags = o->record->status_flags,
		.position = o->record->position,
		.body = o->body,
		.length = o->length,
		.file = o->record->file,
		.first_fd = o->first_fd,
		.label = o->label,
	};
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

/* Position, flags and owner are the description's, whatever its kind. */
static void describe(const struct job_object *o,
		     const struct ckpt_restorer *kind, int fd, int standard)
{
	const struct image_object *record = o->record;
	struct f_owner_ex owner = {record->owner_type, record->owner};
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
	if (record->signal && fcntl(fd, F_SETSIG, record->signal) < 0)
		report("%s: its signal could not be set: %s", o->label,
		       strerror(errno));
	if (record->owner_type >= 0 && record->owner > 0 &&
	    fcntl(fd, F_SETOWN_EX, &owner) < 0)
		report("%s: the owner of its signals is gone", o->label);
	if (flags >= 0 && !(flags & O_PATH) &&
	    (flags & SETTABLE) != ((int)record->status_flags & SETTABLE))
		fcntl(fd, F_SETFL,
		      (flags & ~SETTABLE) |
			      ((int)record->status_flags & SETTABLE));
}

static void move_streams(struct ckpt_restore *r)
{
	int i;

	for (i = 0; i < 3; i++) {
		r->streams[i] = -1;
		if (fcntl(i, F_GETFD) < 0)
			continue;
		r->streams[i] = descriptors_lift(r, i);
	}
}

void descriptors_open(struct ckpt_restore *r, const struct job *job,
		      const struct job_process *p)
{
	size_t i, count = p->object_count + 1;
	int fd;

	memset(r, 0, sizeof(*r));
	r->job = job;
	r->process = p;
	raise_limit();
	note_wanted(r);
	/* The error pipe first: from now on it can be used again. */
	say_from_child(descriptors_lift(r, say_error_fd()),
		       descriptors_lift(r, say_report_fd()));
	move_streams(r);
	r->made = malloc(count * sizeof(*r->made));
	r->standard = calloc(count, sizeof(*r->standard));
	if (!r->made || !r->standard)
		fail("out of memory while restoring descriptors");
	for (i = 0; i < p->object_count; i++)
		r->made[i] = -1;
	for (i = 0; i < p->object_count; i++) {
		struct ckpt_object object = view(&p->objects[i]);

		if (r->made[i] >= 0)
			continue;
		r->asked = 0;
		fd = kinds_restorer(object.kind)->open(r, &object);
		if (fd < 0)
			fail("%s cannot be opened again: %s", object.label,
			     strerror(-fd));
		r->standard[i] = r->asked;
		r->made[i] = descriptors_lift(r, fd);
	}
	for (i = 0; i < p->object_count; i++)
		describe(&p->objects[i], kinds_restorer(p->objects[i].kind),
			 r->made[i], r->standard[i]);
}

/* The copies at high numbers go at once: a posix lock, which connect() takes,
 * is dropped by any close of its file. */
void descriptors_place(struct ckpt_restore *r)
{
	const struct job_process *p = r->process;
	size_t i;

	for (i = 0; i < p->fd_count; i++) {
		const struct image_fd *fd = p->fds[i];
		int flags = fd->flags & FD_CLOEXEC ? O_CLOEXEC : 0;

		if (dup3(ckpt_object_fd(r, fd->object), fd->fd, flags) < 0)
			fail("descriptor %d cannot be made: %s (ulimit -Hn is %ld)",
			     fd->fd, strerror(errno), sysconf(_SC_OPEN_MAX));
	}
	for (i = 0; i < p->object_count; i++) {
		if (p->objects[i].first_fd < 0)
			continue;
		close(r->made[i]);
		r->made[i] = p->objects[i].first_fd;
	}
	r->placed = 1;
}

void descriptors_connect(struct ckpt_restore *r)
{
	const struct job_process *p = r->process;
	size_t i;

	for (i = 0; i < p->object_count; i++) {
		struct ckpt_object object = view(&p->objects[i]);
		const struct ckpt_restorer *k = kinds_restorer(object.kind);
		int ret = k->connect ? k->connect(r, &object, r->made[i]) : 0;

		if (ret < 0)
			fail("%s cannot be restored: %s", object.label,
			     strerror(-ret));
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
