/* SPDX-License-Identifier: MIT */
/*
 * Opening the images of a generation and sorting their records into arrays.
 * The reader has checked all hashes; here each record is checked to be as long
 * as its kind wants and to refer only to what exists, so that whoever uses
 * the arrays later need not ask.
 */
#define _GNU_SOURCE
#include "restart/job.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "restart/kinds.h"
#include "restart/say.h"

static _Noreturn void damaged(const struct job_process *p, const char *what)
{
	fail("%s: %s; the image is damaged or of another version: restart an older generation (--generation)",
	     p->name, what);
}

static void *grow(void *array, size_t count, size_t size)
{
	/* Doubled at powers of two: 0, 1, 2, 4 ... */
	if (count & (count - 1))
		return array;
	array = realloc(array, (count ? 2 * count : 1) * size);
	if (!array)
		fail("out of memory while reading the images");
	return array;
}

static char *copy_string(const void *bytes, size_t length)
{
	char *s = strndup(bytes, length);

	if (!s)
		fail("out of memory while reading the images");
	return s;
}

static void take_process(struct job_process *p, const void *body, size_t length)
{
	if (length < sizeof(*p->process) || p->process)
		damaged(p, "the process record is wrong");
	p->process = body;
}

static void take_thread(struct job_process *p, const void *body, size_t length)
{
	if (length < sizeof(struct image_thread))
		damaged(p, "a thread record is too short");
	p->threads = grow(p->threads, p->thread_count, sizeof(*p->threads));
	p->threads[p->thread_count++].record = body;
}

static void take_area(struct job_process *p, const void *body, size_t length)
{
	const struct image_area *area = body;
	struct job_area *taken;
	size_t guards;

	if (length < sizeof(*area))
		damaged(p, "a memory record is too short");
	guards = (size_t)area->guards * sizeof(struct image_guard);
	if (length - sizeof(*area) < guards ||
	    length - sizeof(*area) - guards < area->name_length)
		damaged(p, "a memory record is too short");
	if (area->start >= area->end || (area->start | area->end) & 4095)
		damaged(p, "a memory record has no sensible range");
	if (p->area_count &&
	    p->areas[p->area_count - 1].record->end > area->start)
		damaged(p, "memory records overlap");
	p->areas = grow(p->areas, p->area_count, sizeof(*p->areas));
	taken = &p->areas[p->area_count++];
	memset(taken, 0, sizeof(*taken));
	taken->record = area;
	taken->guards = (const void *)(area + 1);
	taken->name = (const char *)(area + 1) + guards;
}

static void take_file(struct job_process *p, const void *body, size_t length)
{
	const struct image_file *file = body;
	size_t count;

	if (length < sizeof(*file) ||
	    length - sizeof(*file) < file->path_length)
		damaged(p, "a file record is too short");
	if (!file->id || file->id > 1u << 24)
		damaged(p, "a file record has no sensible id");
	if (file->id >= p->file_count) {
		count = p->file_count;
		p->file_count = file->id + 64;
		p->file_records = realloc(p->file_records,
					  p->file_count *
						  sizeof(*p->file_records));
		if (!p->file_records)
			fail("out of memory while reading the images");
		memset(p->file_records + count, 0,
		       (p->file_count - count) * sizeof(*p->file_records));
	}
	if (p->file_records[file->id])
		damaged(p, "two file records have one id");
	p->file_records[file->id] = file;
}

static void take_fd(struct job_process *p, const void *body, size_t length)
{
	const struct image_fd *fd = body;

	if (length < sizeof(*fd) || fd->fd < 0)
		damaged(p, "a descriptor record is wrong");
	if (fd->flags & IMAGE_FD_INSIDE) {
		p->inside = grow(p->inside, p->inside_count,
				 sizeof(*p->inside));
		p->inside[p->inside_count++] = fd;
		return;
	}
	p->fds = grow(p->fds, p->fd_count, sizeof(*p->fds));
	p->fds[p->fd_count++] = fd;
}

static void take_object(struct job_process *p, uint32_t kind, const void *body,
			size_t length)
{
	const struct image_object *object = body;
	struct job_object *taken;

	if (length < sizeof(*object))
		damaged(p, "an object record is too short");
	p->objects = grow(p->objects, p->object_count, sizeof(*p->objects));
	taken = &p->objects[p->object_count++];
	memset(taken, 0, sizeof(*taken));
	taken->kind = kind;
	taken->record = object;
	taken->body = object + 1;
	taken->length = length - sizeof(*object);
	taken->first_fd = -1;
}

static void take_state(struct job_process *p, uint32_t kind, const void *body,
		       size_t length)
{
	const struct ckpt_restorer *restorer = kinds_restorer(kind);

	if (!restorer || (!restorer->process && !restorer->before))
		return; /* for people, or the library's own */
	p->states = grow(p->states, p->state_count, sizeof(*p->states));
	p->states[p->state_count++] = (struct job_state){kind, body, length};
}

static void take_cwd(struct job_process *p, const void *body, size_t length)
{
	const struct image_cwd *cwd = body;

	if (length < sizeof(*cwd) || length - sizeof(*cwd) < cwd->path_length)
		damaged(p, "the record of the working directory is too short");
	p->cwd = cwd;
	p->cwd_path = copy_string(cwd + 1, cwd->path_length);
}

static void take(struct job_process *p, const struct image_record *record,
		 const void *body)
{
	size_t length = record->length;

	switch (record->kind) {
	case IMAGE_PROCESS:
		take_process(p, body, length);
		break;
	case IMAGE_THREAD:
		take_thread(p, body, length);
		break;
	case IMAGE_AREA:
		take_area(p, body, length);
		break;
	case IMAGE_FILE:
		take_file(p, body, length);
		break;
	case IMAGE_FD:
		take_fd(p, body, length);
		break;
	case IMAGE_AUXV:
		p->auxv = body;
		p->auxv_length = length;
		break;
	case IMAGE_VDSO:
		p->vdso = body;
		p->vdso_length = length;
		break;
	case IMAGE_CPU:
		if (length < sizeof(*p->cpu))
			damaged(p, "the CPU record is too short");
		p->cpu = body;
		break;
	case IMAGE_CWD:
		take_cwd(p, body, length);
		break;
	default:
		if (kinds_is_object(record->kind))
			take_object(p, record->kind, body, length);
		else if (kinds_known(record->kind))
			take_state(p, record->kind, body, length);
		else
			fail("%s: it holds an object of kind %u that this build does not know: use the version of ckpt that wrote it",
			     p->name, record->kind);
	}
}

/* ---- what refers to what ---- */

struct job_file *job_process_file(const struct job_process *p, uint32_t id)
{
	return id && id < p->file_count ? p->files[id] : NULL;
}

struct job_process *job_root(const struct job *job)
{
	return &job->processes[0];
}

/* What one process did to it or saw of it stands in that one's image only. */
static void file_merge(struct job_file *file, const struct image_file *record)
{
	uint32_t both = file->merged.flags & record->flags;
	uint32_t any = file->merged.flags | record->flags;

	/* It goes for those who may write to it at all. */
	if (both & FILE_CONTENT)
		any = (any & ~(uint32_t)FILE_APPEND_ONLY) |
		      (both & FILE_APPEND_ONLY);
	file->merged.flags = any;
	if (file->merged.size >= record->size)
		return;
	file->merged.size = record->size;
	file->merged.mtime = record->mtime;
}

/* Within one job a file is the same in every image: dev and inode, as long
 * as it has them. */
static struct job_file *job_file_get(struct job *job,
				     const struct image_file *record)
{
	static const char deleted[] = " (deleted)";
	struct job_file *file, **bucket;
	size_t length;

	bucket = &job->file_buckets[(record->dev * 31 + record->ino) %
				    JOB_FILE_BUCKETS];
	for (file = *bucket; file; file = file->next)
		if (file->record->dev == record->dev &&
		    file->record->ino == record->ino && record->ino) {
			file_merge(file, record);
			return file;
		}
	file = calloc(1, sizeof(*file));
	if (!file)
		fail("out of memory while reading the images");
	file->next = *bucket;
	*bucket = file;
	file->merged = *record;
	file->record = &file->merged;
	file->fd = -1;
	file->path = copy_string(record + 1, record->path_length);
	length = strlen(file->path);
	if ((record->flags & FILE_DELETED) && length > strlen(deleted) &&
	    strcmp(file->path + length - strlen(deleted), deleted) == 0)
		file->path[length - strlen(deleted)] = 0;
	job->files = grow(job->files, job->file_count, sizeof(*job->files));
	job->files[job->file_count++] = file;
	return file;
}

static int object_order(const void *a, const void *b)
{
	const struct job_object *x = a, *y = b;

	return (x->record->id > y->record->id) -
	       (x->record->id < y->record->id);
}

struct job_object *job_process_object(const struct job_process *p, uint32_t id)
{
	struct image_object record = {.id = id};
	struct job_object key = {.record = &record};

	return bsearch(&key, p->objects, p->object_count, sizeof(*p->objects),
		       object_order); /* sorted by link_descriptors() */
}

static void link_files(struct job *job, struct job_process *p)
{
	size_t i;

	p->files = calloc(p->file_count + 1, sizeof(*p->files));
	if (!p->files)
		fail("out of memory while reading the images");
	for (i = 0; i < p->file_count; i++)
		if (p->file_records[i])
			p->files[i] = job_file_get(job, p->file_records[i]);
}

static void link_areas(struct job_process *p)
{
	size_t i;

	for (i = 0; i < p->area_count; i++) {
		struct job_area *area = &p->areas[i];

		switch (area->record->type) {
		case AREA_FILE_PRIVATE:
		case AREA_FILE_SHARED:
		case AREA_ANON_SHARED:
			area->file = job_process_file(p, area->record->file);
			if (!area->file)
				damaged(p, "a mapping refers to no file");
			break;
		case AREA_ANON:
		case AREA_FILE_LOST:
		case AREA_REGISTRY:
		case AREA_SYSV:
			break;
		default:
			damaged(p, "a mapping of unknown type");
		}
		if (area->file && (area->record->prot & PROT_EXEC))
			area->file->is_executed = 1;
		if (area->record->type == AREA_FILE_SHARED)
			area->file->is_shared = 1;
		if (area->record->type == AREA_FILE_PRIVATE)
			area->file->is_mapped = 1;
		else if (area->file)
			area->file->is_opened = 1;
	}
}

static void link_descriptors(struct job_process *p)
{
	struct job_object *object;
	size_t i;
	int length;

	if (p->object_count)
		qsort(p->objects, p->object_count, sizeof(*p->objects),
		      object_order);
	for (i = 0; i < p->fd_count; i++) {
		object = job_process_object(p, p->fds[i]->object);
		if (!object)
			damaged(p, "a descriptor refers to no object");
		if (object->first_fd < 0 || object->first_fd > p->fds[i]->fd)
			object->first_fd = p->fds[i]->fd;
	}
	for (i = 0; i < p->object_count; i++) {
		object = &p->objects[i];
		object->file = job_process_file(p, object->record->file);
		if (object->record->file && !object->file)
			damaged(p, "a descriptor refers to no file");
		if (object->file)
			object->file->is_opened = 1;
		if (object->first_fd < 0)
			length = asprintf(&object->label, "a %s without descriptor",
					  kinds_name(object->kind));
		else if (object->file)
			length = asprintf(&object->label, "fd %d (%s)",
					  object->first_fd, object->file->path);
		else
			length = asprintf(&object->label, "fd %d (%s)",
					  object->first_fd,
					  kinds_name(object->kind));
		if (length < 0)
			fail("out of memory while reading the images");
	}
}

static void check_whole(struct job_process *p)
{
	size_t i;
	int leader = 0;

	if (!p->process)
		damaged(p, "the process record is missing");
	for (i = 0; i < p->thread_count; i++)
		leader |= p->threads[i].record->tid == p->process->pid;
	if (!leader && !(p->process->flags & IMAGE_LEADER_DEAD))
		damaged(p, "the main thread is missing");
	if (!p->thread_count || !p->area_count)
		damaged(p, "threads or memory are missing");
	if (p->process->pid != p->reader.header.pid)
		damaged(p, "header and process record disagree");
	/* 1 is the capsule's init. */
	if (p->process->pid <= 1)
		fail("%s: process %d is the first of its pid namespace, which cannot be restarted: run the program under an init (docker run --init)",
		     p->name, p->process->pid);
}

/* The files are open only while they are read: each process opens its own
 * again, or it would have those of all others as well. */
static void reader_rest(struct job_process *p)
{
	struct stat st;

	if (fstat(p->reader.fd, &st) < 0)
		fail("%s: %s", p->name, strerror(errno));
	p->dev = st.st_dev;
	p->ino = st.st_ino;
	p->owner = st.st_uid;
	close(p->reader.fd);
	p->reader.fd = -1;
}

void images_wake(struct job_process *p)
{
	struct stat st;

	p->reader.fd = open(p->name, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (p->reader.fd < 0 || fstat(p->reader.fd, &st) < 0)
		fail("%s: %s", p->name, strerror(errno));
	if (st.st_dev != p->dev || st.st_ino != p->ino)
		fail("%s has been replaced while it was being restarted: try again",
		     p->name);
}

static void open_one(struct job *job, struct job_process *p, const char *path,
		     const char *hash)
{
	struct image_record record;
	const void *body;
	size_t cursor = 0;
	char text[20];

	if (image_reader_open(&p->reader, -100, path) < 0)
		fail("%s", p->reader.error);
	snprintf(text, sizeof(text), "%016llx",
		 (unsigned long long)p->reader.header.header_hash);
	if (hash && strcmp(hash, text) != 0)
		fail("%s: it is not the image that the manifest names (hash %s, not %s): restart an older generation (--generation)",
		     path, text, hash);
	if (p->reader.header.generation != job->generation)
		fail("%s: it belongs to generation %llu, not %llu: restart an older generation (--generation)",
		     path, (unsigned long long)p->reader.header.generation,
		     (unsigned long long)job->generation);
	while (image_reader_next(&p->reader, &cursor, &record, &body))
		take(p, &record, body);
	link_files(job, p);
	check_whole(p);
	link_areas(p);
	link_descriptors(p);
	if (p->process->exe_file && job_process_file(p, p->process->exe_file))
		job_process_file(p, p->process->exe_file)->is_exe = 1;
	reader_rest(p);
}

void images_open(struct job *job)
{
	json_t *images = json_object_get(job->manifest, "images"), *image;
	size_t i;

	if (!json_array_size(images))
		fail("%s/manifest.json names no image: restart an older generation (--generation)",
		     job->generation_dir);
	job->process_count = json_array_size(images);
	job->processes = calloc(job->process_count, sizeof(*job->processes));
	if (!job->processes)
		fail("out of memory while reading the images");
	json_array_foreach(images, i, image) {
		const char *file =
			json_string_value(json_object_get(image, "file"));
		char *path;

		if (!file || strchr(file, '/') ||
		    asprintf(&path, "%s/%s", job->generation_dir, file) < 0)
			fail("%s/manifest.json is damaged: image %zu has no sensible name",
			     job->generation_dir, i);
		job->processes[i].name = path;
		open_one(job, &job->processes[i], path,
			 json_string_value(
				 json_object_get(image, "header_hash")));
	}
}

void images_verify_blocks(struct job *job)
{
	cpu_set_t cpus;
	unsigned threads = 1;
	size_t i;

	if (sched_getaffinity(0, sizeof(cpus), &cpus) == 0)
		threads = (unsigned)CPU_COUNT(&cpus);
	for (i = 0; i < job->process_count; i++) {
		struct job_process *p = &job->processes[i];

		images_wake(p);
		if (image_reader_hash_blocks(&p->reader, threads) < 0)
			fail("%s", p->reader.error);
		close(p->reader.fd);
		p->reader.fd = -1;
	}
}
