/* SPDX-License-Identifier: MIT */
/*
 * The plan for the bare restorer (restore/bare.h): where it may stand, which
 * areas it makes of which descriptors, which threads; then the jump.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/rseq.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <unistd.h>

#include "restart/credentials.h"
#include "restart/files.h"
#include "restart/kinds.h"
#include "restart/restore.h"
#include "restart/say.h"
#include "restart/tree.h"
#include "restore/bare.h"
#include "wire/service.h"

#define PAGE 4096ull
#define LOWEST (1ull << 20)
#define HIGHEST 0x7ffffffff000ull /* of a 47-bit address space */
#define STACK_SIZE (256ull << 10)
#define FILL_THREADS_MAX 64u

struct plan {
	struct ckpt_restore *r;
	const char *group_dir;
	char *at, *end; /* the free rest of the scratch range */
	struct bare_plan *bare;
	struct bare_thread *threads;
	char *segments; /* room for the next one of them, see attach() */
	int32_t *close_fds;
	/* Open for mapping, one a file and access. */
	struct opened {
		const struct job_file *file;
		int writable, fd;
	} *opened;
	size_t opened_count;
};

static uint64_t pages(uint64_t bytes)
{
	return (bytes + PAGE - 1) & ~(PAGE - 1);
}

/* ---- a hole in both layouts ---- */

struct range {
	uint64_t start, end;
};

static int by_start(const void *a, const void *b)
{
	const struct range *x = a, *y = b;

	return (x->start > y->start) - (x->start < y->start);
}

static size_t own_ranges(struct range *ranges, size_t max)
{
	FILE *f = fopen("/proc/self/maps", "re");
	unsigned long long start, end;
	size_t n = 0;
	int c;

	if (!f)
		fail("/proc/self/maps: %s", strerror(errno));
	while (n < max && fscanf(f, "%llx-%llx", &start, &end) == 2) {
		ranges[n++] = (struct range){start, end};
		while ((c = getc(f)) != EOF && c != '\n')
			;
	}
	fclose(f);
	return n;
}

#define OWN_MAX 4096

/* The middle of the largest one: far from every stack and heap that may still
 * grow, and from where the kernel puts new mappings. */
static uint64_t find_hole(const struct job_process *p, uint64_t size)
{
	size_t count = p->area_count + OWN_MAX + 4, n = 0, i;
	struct range *ranges = calloc(count, sizeof(*ranges));
	uint64_t at = LOWEST, best = 0, room = 0;

	if (!ranges)
		fail("out of memory while planning");
	for (i = 0; i < p->area_count; i++)
		ranges[n++] = (struct range){p->areas[i].record->start,
					     p->areas[i].record->end};
	ranges[n++] = (struct range){p->process->vdso,
				     p->process->vdso +
					     p->process->vdso_length};
	ranges[n++] = (struct range){p->process->vvar,
				     p->process->vvar +
					     p->process->vvar_length};
	n += own_ranges(ranges + n, OWN_MAX);
	ranges[n++] = (struct range){HIGHEST, HIGHEST};
	qsort(ranges, n, sizeof(*ranges), by_start);
	for (i = 0; i < n; i++) {
		if (ranges[i].start > HIGHEST)
			break;
		if (ranges[i].start > at && ranges[i].start - at > room) {
			best = at;
			room = ranges[i].start - at;
		}
		if (ranges[i].end > at)
			at = ranges[i].end;
	}
	free(ranges);
	if (room < size + (64ull << 20))
		fail("%s: the program's address space leaves no hole for the restorer",
		     p->name);
	return (best + (room - size) / 2) & ~((2ull << 20) - 1);
}

/* ---- memory of the plan ---- */

static void *take(struct plan *plan, size_t size)
{
	char *at = plan->at;

	plan->at += (size + 15) & ~15ull;
	if (plan->at > plan->end)
		fail("the restorer's plan is larger than expected");
	return at;
}

static void *take_copy(struct plan *plan, const void *from, size_t size)
{
	void *to = take(plan, size);

	if (size)
		memcpy(to, from, size);
	return to;
}

/* Whose the service thread is: root's where it may be, as it was. */
static const struct job_ids *service_ids(const struct job_process *p)
{
	const struct job_ids *leader = credentials_of(p, p->process->pid);

	if (credentials_may_be_root(p))
		return NULL;
	return leader ? leader : &p->ids[0];
}

static size_t ids_size(const struct job_process *p)
{
	size_t size = sizeof(struct bare_gate) + 16, i;

	if (!p->ids_count)
		return 0;
	size += credentials_calls_size(service_ids(p));
	size += credentials_calls_size(credentials_of(p, p->process->pid));
	for (i = 0; i < p->thread_count; i++)
		size += credentials_calls_size(
			credentials_of(p, p->threads[i].record->tid));
	return size;
}

static size_t plan_size(const struct job_process *p)
{
	const struct image_header *h = &p->reader.header;
	size_t size = sizeof(struct bare_plan) + 4096, i;

	size += p->area_count * (sizeof(struct bare_area) +
				 2 * sizeof(int32_t)) + 256;
	for (i = 0; i < p->area_count; i++) {
		size += p->areas[i].record->guards * sizeof(struct image_guard);
		size += p->areas[i].record->name_length + 17;
	}
	size += p->thread_count * sizeof(struct bare_thread);
	size += ids_size(p);
	size += h->block_count * sizeof(struct image_block);
	size += h->extent_count * sizeof(struct image_extent);
	size += p->auxv_length + p->vdso_length;
	return pages(size);
}

/* ---- what is mapped ---- */

static void close_later(struct plan *plan, int fd)
{
	plan->close_fds[plan->bare->close_count++] = fd;
}

static int open_mapped(struct plan *plan, const struct job_file *file,
		       int writable)
{
	int fd = descriptors_for_file(plan->r, file, writable);
	size_t i;

	/* Rather the program's own: ours is closed in the end, and with it go
	 * the posix locks that the program had on the file. But of the exact
	 * content that a private mapping needs, it may know nothing. */
	if (fd >= 0 && (writable || file->fd >= 0 ||
			(file->mapped == FILE_IN_PLACE &&
			 file->opened == FILE_IN_PLACE)))
		return fd;
	for (i = 0; i < plan->opened_count; i++)
		if (plan->opened[i].file == file &&
		    plan->opened[i].writable == writable)
			return plan->opened[i].fd;
	fd = files_open_mapped(file, writable);
	if (fd < 0)
		fail("%s cannot be opened: %s", file->path, strerror(-fd));
	fd = descriptors_lift(plan->r, fd);
	plan->opened[plan->opened_count++] =
		(struct opened){file, writable, fd};
	close_later(plan, fd);
	return fd;
}

/* How much room a segment takes; 0: there is none any more. */
static uint64_t segment_size(const struct image_area *area)
{
	struct shmid_ds ds;

	if (shmctl((int)area->file, IPC_STAT, &ds) < 0)
		return 0;
	return pages(ds.shm_segsz);
}

static uint64_t segments_size(const struct job_process *p)
{
	uint64_t size = 0;
	size_t i;

	for (i = 0; i < p->area_count; i++)
		if (p->areas[i].record->type == AREA_SYSV)
			size += segment_size(p->areas[i].record);
	return size;
}

/* The segment whole, in the scratch range: where it has to be may be taken
 * yet, and maybe only a piece of it is left. Returns where the piece is. */
static uint64_t attach(struct plan *plan, const struct image_area *area)
{
	uint64_t size = segment_size(area);
	int flags = SHM_REMAP;
	void *at = plan->segments;

	if (area->offset + (area->end - area->start) > size)
		fail("shared memory segment %d is not in the checkpoint, or smaller",
		     (int)area->file);
	if (area->flags & AREA_READ_ONLY)
		flags |= SHM_RDONLY;
	if (area->prot & PROT_EXEC)
		flags |= SHM_EXEC;
	if (shmat((int)area->file, at, flags) != at)
		fail("shared memory segment %d cannot be attached: %s",
		     (int)area->file, strerror(errno));
	plan->segments += size;
	return (uint64_t)(uintptr_t)at + area->offset;
}

static uint32_t area_flags(const struct image_area *area)
{
	uint32_t flags = 0;

	if (area->flags & AREA_GROWSDOWN)
		flags |= BARE_GROWSDOWN;
	if (area->flags & AREA_NORESERVE)
		flags |= BARE_NORESERVE;
	if (area->flags & AREA_HUGETLB)
		flags |= BARE_HUGETLB;
	return flags;
}

/* Who has become another user could not open it. */
static int open_registry(struct plan *plan, const struct image_area *area)
{
	char path[128];
	struct stat st;
	int fd;

	snprintf(path, sizeof(path), "%s/" SERVICE_REGISTRY, plan->group_dir);
	fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || fstat(fd, &st) < 0)
		fail("%s: %s", path, strerror(errno));
	if (area->offset || area->end - area->start != pages((uint64_t)st.st_size))
		fail("%s: its registry is another version's: restart it with the ckpt that it was saved with",
		     plan->r->process->name);
	fd = descriptors_lift(plan->r, fd);
	close_later(plan, fd);
	return fd;
}

static void plan_area(struct plan *plan, const struct job_area *area,
		      struct bare_area *out, struct image_guard **guards)
{
	const struct image_area *record = area->record;
	char *name;

	out->start = record->start;
	out->end = record->end;
	out->offset = record->offset;
	out->fd = -1;
	out->flags = area_flags(record);
	out->prot = record->prot;
	out->advice = record->flags;
	out->hugetlb_shift = record->hugetlb_shift;
	out->pkey = record->pkey;
	out->guards = (uint32_t)(*guards - plan->bare->guards);
	out->guard_count = record->guards;
	memcpy(*guards, area->guards, record->guards * sizeof(**guards));
	*guards += record->guards;
	if (record->name_length) {
		name = take(plan, record->name_length + 1);
		memcpy(name, area->name, record->name_length);
		name[record->name_length] = 0;
		out->name = (uint64_t)(uintptr_t)name;
	}
	switch (record->type) {
	case AREA_REGISTRY:
		out->advice = 0;
		if (plan->r->process->ids_count) {
			out->fd = open_registry(plan, record);
			out->flags = BARE_SHARED;
			out->prot = PROT_READ | PROT_WRITE;
			break;
		}
		out->flags = BARE_PLACEHOLDER;
		out->prot = PROT_NONE;
		break;
	case AREA_FILE_PRIVATE:
		out->fd = open_mapped(plan, area->file, 0);
		break;
	case AREA_FILE_SHARED:
		out->fd = open_mapped(plan, area->file, 1);
		out->flags |= BARE_SHARED;
		break;
	case AREA_ANON_SHARED:
		out->fd = open_mapped(plan, area->file, 1);
		out->flags |= BARE_SHARED;
		/* The memory is there from the start: it takes nothing. */
		out->flags &= ~(uint32_t)BARE_HUGETLB;
		break;
	case AREA_SYSV:
		out->offset = attach(plan, record);
		out->flags = BARE_SHARED | BARE_MOVE;
		break;
	default: /* AREA_ANON, AREA_FILE_LOST */
		out->offset = 0;
	}
}

static void plan_areas(struct plan *plan)
{
	const struct job_process *p = plan->r->process;
	struct image_guard *guards;
	struct bare_area *areas;
	size_t i, guard_count = 0;

	for (i = 0; i < p->area_count; i++)
		guard_count += p->areas[i].record->guards;
	areas = take(plan, p->area_count * sizeof(*areas));
	guards = take(plan, guard_count * sizeof(*guards));
	plan->bare->areas = areas;
	plan->bare->area_count = p->area_count;
	plan->bare->guards = guards;
	plan->opened = calloc(2 * p->area_count, sizeof(*plan->opened));
	if (!plan->opened)
		fail("out of memory while planning");
	for (i = 0; i < p->area_count; i++)
		plan_area(plan, &p->areas[i], &areas[i], &guards);
}

static const struct bare_call *take_calls(struct plan *plan,
					  const struct job_ids *ids,
					  int close_fd)
{
	return credentials_plan(ids, close_fd,
				take(plan, credentials_calls_size(ids)));
}

/* Of those who had become other users; when securebits and the bounding set
 * are what they were. */
static void plan_ids(struct plan *plan)
{
	const struct job_process *p = plan->r->process;
	struct bare_plan *bare = plan->bare;
	struct bare_thread *threads = plan->threads;
	uint64_t i;

	if (!p->ids_count)
		return;
	bare->gate = take(plan, sizeof(*bare->gate));
	bare->leader_calls =
		take_calls(plan, credentials_of(p, p->process->pid), -1);
	bare->service_calls =
		take_calls(plan, service_ids(p), say_error_fd());
	for (i = 0; i < bare->thread_count; i++)
		threads[i].calls = take_calls(
			plan, credentials_of(p, threads[i].tid), -1);
}

static void plan_threads(struct plan *plan)
{
	const struct job_process *p = plan->r->process;
	struct bare_thread *threads =
		take(plan, p->thread_count * sizeof(*threads));
	size_t i;

	plan->bare->threads = plan->threads = threads;
	plan->bare->leader_dead = !!(p->process->flags & IMAGE_LEADER_DEAD);
	plan->bare->service = p->process->service;
	for (i = 0; i < p->thread_count; i++) {
		const struct image_thread *t = p->threads[i].record;

		if (t->tid == p->process->pid) {
			plan->bare->leader = t->jump;
			continue;
		}
		threads[plan->bare->thread_count].tid = t->tid;
		threads[plan->bare->thread_count++].jump = t->jump;
	}
}

static void plan_exe(struct plan *plan)
{
	const struct job_process *p = plan->r->process;
	struct job_file *exe = job_process_file(p, p->process->exe_file);

	plan->bare->exe_fd = -1;
	if (exe && exe->mapped != FILE_UNAVAILABLE)
		plan->bare->exe_fd = open_mapped(plan, exe, 0);
}

static void plan_rebirth(struct plan *plan, int caps_keep)
{
	struct image_rebirth *rebirth = &plan->bare->rebirth;
	const struct job *job = plan->r->job;

	plan->bare->rebirth_at = plan->r->process->process->rebirth;
	rebirth->life = job->life;
	rebirth->caps_keep = (uint32_t)caps_keep;
	rebirth->registry_there = plan->r->process->ids_count > 0;
	snprintf(rebirth->runtime_dir, sizeof(rebirth->runtime_dir), "%s",
		 plan->group_dir);
	snprintf(rebirth->coordinator, sizeof(rebirth->coordinator), "%s",
		 job->coordinator);
	snprintf(rebirth->computation, sizeof(rebirth->computation), "%s",
		 job->computation);
}

static void plan_vdso(struct plan *plan)
{
	const struct job_process *p = plan->r->process;
	struct bare_plan *bare = plan->bare;

	bare->old_vdso = take_copy(plan, p->vdso, p->vdso_length);
	bare->old_vdso_at = p->process->vdso;
	bare->old_vdso_length = p->vdso_length;
	bare->old_vvar_at = p->process->vvar;
	bare->old_vvar_length = p->process->vvar_length;
}

/* libc's registration of this thread, inherited over all our forks. Its
 * length is at least the 32 bytes of the first version of the interface,
 * whatever part of them libc says it uses. */
static void plan_rseq(struct bare_plan *bare)
{
	if (!__rseq_size)
		return;
	bare->rseq = (uint64_t)(uintptr_t)__builtin_thread_pointer() +
		     (uint64_t)__rseq_offset;
	bare->rseq_length = __rseq_size < 32 ? 32 : __rseq_size;
	bare->rseq_signature = RSEQ_SIG;
}

/* The word that all processes share, into the scratch range: what else there is
 * will be unmapped. */
static void plan_filled(struct plan *plan)
{
	const struct tree *tree = plan->r->job->tree;
	char *at = plan->segments;

	plan->segments += PAGE;
	if (tree->processes < 2)
		return;
	if (mremap(tree->meeting, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
		   at) == MAP_FAILED)
		fail("no memory for the restorer: %s", strerror(errno));
	plan->bare->filled =
		(uint32_t *)(at + offsetof(struct tree_meeting, filled));
	plan->bare->filled_by = tree->processes;
}

static uint32_t fill_threads(const struct job_process *p)
{
	uint32_t threads = 1;
	cpu_set_t cpus;

	if (sched_getaffinity(0, sizeof(cpus), &cpus) == 0)
		threads = (uint32_t)CPU_COUNT(&cpus);
	if (threads > FILL_THREADS_MAX)
		threads = FILL_THREADS_MAX;
	if (threads > p->reader.header.block_count)
		threads = (uint32_t)p->reader.header.block_count;
	return threads ? threads : 1;
}

static void set_states(struct ckpt_restore *r)
{
	const struct job_process *p = r->process;
	size_t i;
	int ret;

	for (i = 0; i < p->state_count; i++) {
		const struct job_state *state = &p->states[i];

		const struct ckpt_restorer *kind = kinds_restorer(state->kind);

		ret = kind->process ? kind->process(r, state->body,
						    state->length)
				    : 0;
		if (ret < 0)
			fail("the program's %s cannot be restored: %s",
			     kinds_name(state->kind), strerror(-ret));
	}
}

void plan_run(struct ckpt_restore *r, const char *group_dir, int caps_keep)
{
	const struct job_process *p = r->process;
	const struct image_header *h = &p->reader.header;
	uint64_t blob = pages((uint64_t)(restore_blob_end - restore_blob));
	uint32_t threads = fill_threads(p);
	uint64_t buffers = pages(p->area_count) + threads * BARE_THREAD_BUFFER;
	uint64_t size = blob + plan_size(p) + STACK_SIZE + pages(buffers) +
			PAGE + segments_size(p);
	struct plan plan = {.r = r, .group_dir = group_dir};
	struct bare_plan *bare;
	const stack_t none = {.ss_flags = SS_DISABLE};
	bare_entry *entry;
	char *scratch;
	uint64_t hole;

	hole = find_hole(p, size);
	scratch = mmap((void *)(uintptr_t)hole, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE |
			       MAP_NORESERVE,
		       -1, 0);
	if (scratch != (void *)(uintptr_t)hole)
		fail("no memory for the restorer at %llx: %s",
		     (unsigned long long)hole, strerror(errno));
	memcpy(scratch, restore_blob,
	       (size_t)(restore_blob_end - restore_blob));
	plan.at = scratch + blob;
	plan.end = plan.at + plan_size(p);
	bare = plan.bare = take(&plan, sizeof(*bare));
	bare->scratch = hole;
	bare->scratch_length = size;
	bare->stack_top = hole + blob + plan_size(p) + STACK_SIZE;
	bare->buffers = bare->stack_top;
	bare->buffers_length = pages(buffers);
	plan.segments = (char *)(uintptr_t)bare->buffers + bare->buffers_length;
	plan.close_fds = take(&plan, (2 * p->area_count + 4) *
					     sizeof(*plan.close_fds));
	bare->close_fds = plan.close_fds;
	bare->fill_threads = threads;
	bare->helper_tid = r->job->helper_tid;
	bare->lazy = (uint32_t)r->job->options->lazy;
	bare->readahead = !bare->lazy;
	bare->blocks = take_copy(&plan, p->reader.blocks,
				 h->block_count * sizeof(struct image_block));
	bare->block_count = h->block_count;
	bare->extents = take_copy(&plan, p->reader.extents,
				  h->extent_count *
					  sizeof(struct image_extent));
	bare->mm = p->process->mm;
	bare->auxv = take_copy(&plan, p->auxv, p->auxv_length);
	bare->auxv_length = p->auxv_length;
	plan_filled(&plan);
	plan_rseq(bare);
	plan_vdso(&plan);
	plan_threads(&plan);
	plan_rebirth(&plan, caps_keep);

	bare->image_fd = descriptors_lift(r, p->reader.fd);
	plan_areas(&plan);
	plan_exe(&plan);
	close_later(&plan, bare->image_fd);
	bare->error_fd = say_error_fd();
	close_later(&plan, bare->error_fd);
	plan.close_fds[bare->close_count] = say_report_fd();

	descriptors_place(r);
	descriptors_close_others(r, plan.close_fds, bare->close_count + 1);
	descriptors_connect(r);
	set_states(r);
	plan_ids(&plan);
	close(say_report_fd());
	if (mprotect(scratch, blob, PROT_READ | PROT_EXEC) < 0)
		fail("the restorer cannot be made executable: %s",
		     strerror(errno));
	/* A thread that never had an alternate stack cannot get rid of ours by
	 * rt_sigreturn(), and the sanitizers give us one. */
	sigaltstack(&none, NULL);
	entry = (bare_entry *)(uintptr_t)scratch;
	entry(bare);
	fail("the restorer has returned"); /* it never does */
}
