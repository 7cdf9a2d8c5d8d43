/* SPDX-License-Identifier: MIT */
/*
 * The writer, on its own stack. With memory of its own it first makes sure
 * that it has all of it, copies what is shared with the program, lets go of
 * the program's descriptors and gives the word; after that nothing hurries.
 * Without, the program stands until it has ended.
 */
#define _GNU_SOURCE
#include <linux/sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "preload/frozen/frozen.h"

static const struct writer_job *job;

static void give_verdict(uint32_t verdict)
{
	struct writer_verdict v = {
		.verdict = verdict,
		.error = frozen.error,
	};

	if (job->verdict < 0)
		return;
	__builtin_memcpy(v.text, frozen.text, sizeof(v.text));
	sys_write(job->verdict, &v, sizeof(v));
}

/* A process that is neither the program nor as important. */
static void settle(void)
{
	struct rlimit limit;
	struct sched_param {
		int priority;
	} none = {0};
	long policy = SYS_CALL(SYS_sched_getscheduler, 0);

	SYS_CALL(SYS_prctl, PR_SET_NAME, "ckpt-writer", 0, 0, 0);
	if (policy > 0 && policy != SCHED_BATCH && policy != SCHED_IDLE)
		SYS_CALL(SYS_sched_setscheduler, 0, SCHED_NORMAL, &none);
	SYS_CALL(SYS_sched_setaffinity, 0, sizeof(frozen.cpus), frozen.cpus);
	/* The image is no file of the program's. */
	if (SYS_CALL(SYS_prlimit64, 0, RLIMIT_FSIZE, NULL, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		SYS_CALL(SYS_prlimit64, 0, RLIMIT_FSIZE, &limit, NULL);
	}
}

/* When memory is short, the checkpoint goes, not the program. Not for memory
 * that is shared: then it would be the program's score, too. */
static void offer_to_oom(void)
{
	long fd = sys_openat(AT_FDCWD, "/proc/self/oom_score_adj",
			     O_WRONLY | O_CLOEXEC, 0);

	if (fd < 0)
		return;
	sys_write((int)fd, "1000", 4);
	sys_close((int)fd);
}

static void close_others(void)
{
	int keep[3] = {frozen.image, frozen.socket, job->verdict};
	unsigned from = 0;
	int i, k;

	for (i = 0; i < 3; i++) {
		for (k = i + 1; k < 3; k++)
			if (keep[k] < keep[i]) {
				int swap = keep[i];

				keep[i] = keep[k];
				keep[k] = swap;
			}
		if (keep[i] < 0)
			continue;
		if ((unsigned)keep[i] > from)
			SYS_CALL(SYS_close_range, from, keep[i] - 1, 0);
		from = (unsigned)keep[i] + 1;
	}
	SYS_CALL(SYS_close_range, from, ~0u, 0);
}

/* Memory that the program could change under our hands: shared, and huge
 * pages, which the kernel takes away from the child when it is short. */
static int copy_shared(void)
{
	uint32_t i;
	int ret;

	for (i = 0; i < frozen.area_count; i++) {
		struct frozen_area *a = &frozen.areas[i];

		if (a->elsewhere ||
		    (a->type != AREA_ANON_SHARED && a->type != AREA_SYSV &&
		     (a->type == AREA_REGISTRY || !(a->flags & AREA_HUGETLB))))
			continue;
		ret = pages_copy(a);
		if (ret < 0)
			return frozen_fail(ret, "copying shared memory at ",
					   HEX(a->start), ": ",
					   frozen_strerror(ret), NULL);
	}
	return 0;
}

/* The program must not see segments attached once more while we write. */
static void detach_segments(void)
{
	uint32_t i;

	for (i = 0; i < frozen.area_count; i++) {
		const struct frozen_area *a = &frozen.areas[i];

		if (a->type == AREA_SYSV && !a->readable_copy)
			sys_munmap((void *)a->start, a->end - a->start);
	}
}

static int add_areas(void)
{
	int pagemap = pages_open();
	uint32_t i;
	int ret = 0;

	if (pagemap < 0)
		return frozen_fail(pagemap, "/proc/self/pagemap: ",
				   frozen_strerror(pagemap), NULL);
	for (i = 0; i < frozen.area_count && ret == 0; i++)
		ret = pages_area(pagemap, &frozen.areas[i], job->own_memory);
	sys_close(pagemap);
	return ret;
}

static int prepare(void)
{
	int ret;

	if (!job->own_memory) {
		ret = add_areas();
		if (job->own_process) {
			close_others();
			settle();
		}
		return ret;
	}
	/* Files of /proc that root owns otherwise. */
	SYS_CALL(SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0);
	ret = areas_verify();
	if (ret > 0) {
		give_verdict(VERDICT_AGAIN);
		sys_exit_group(0);
	}
	if (ret < 0 || (ret = copy_shared()) < 0)
		return ret;
	detach_segments();
	close_others();
	give_verdict(VERDICT_READY);
	settle();
	offer_to_oom();
	if (!frozen.exact)
		ret = areas_detail();
	return ret < 0 ? ret : add_areas();
}

static int made_to_fail(void)
{
	int error = frozen.begin.fault_error;

	if (!error || frozen.begin.fault_phase != PHASE_WRITE)
		return 0;
	return frozen_fail(error < 0 ? error : -error, "made to fail in write "
						       "(CKPT_FAULT)", NULL);
}

static void report(void *data, uint64_t raw, uint64_t stored)
{
	struct service_message m = {.wrote = {raw, stored}};
	int ret = link_answer(frozen.socket, &m, SERVICE_WROTE, wrote);

	(void)data;
	/* Nobody waits for this image any more. */
	if (ret < 0 && job->own_process)
		sys_exit_group(1);
}

static int write_image(struct service_message *m)
{
	struct image_header header = {
		.created = (int64_t)sys_clock_ns(CLOCK_REALTIME),
		.generation = frozen.begin.generation,
		.pid = frozen.pid,
		.uid = (uint32_t)SYS_CALL(SYS_geteuid),
	};
	struct image_progress progress = {.report = report};
	uint64_t start = sys_clock_ns(CLOCK_MONOTONIC);
	int ret;

	__builtin_memcpy(header.computation, frozen.begin.computation,
			 sizeof(header.computation));
	header.computation[sizeof(header.computation) - 1] = 0;
	image_pages_write(frozen.writer, &progress);
	ret = image_writer_finish(frozen.writer, &header);
	if (ret < 0)
		return frozen_fail(ret, "writing the image: ",
				   frozen_strerror(ret), NULL);
	m->written = (struct service_written){
		.raw = header.raw_bytes,
		.stored = header.stored_bytes,
		.file_size = header.file_size,
		.write_ns = sys_clock_ns(CLOCK_MONOTONIC) - start,
		.header_hash = header.header_hash,
	};
	return 0;
}

static void tell(struct service_message *m, int ret)
{
	if (ret == 0) {
		ret = link_answer(frozen.socket, m, SERVICE_WRITTEN, written);
		return;
	}
	m->failed.phase = PHASE_WRITE;
	m->failed.error = ret;
	__builtin_memcpy(m->failed.text, frozen.text, sizeof(m->failed.text));
	link_answer(frozen.socket, m, SERVICE_FAILED, failed);
}

void writer_main(void *argument)
{
	struct writer_job *mine = argument;
	struct service_message m = {0};
	int ret;

	job = mine;
	arch_all_pkeys();
	ret = prepare();
	if (ret == 0)
		ret = made_to_fail();
	if (ret == 0)
		ret = write_image(&m);
	tell(&m, ret);
	if (ret < 0)
		give_verdict(VERDICT_FAILED);
	mine->status = ret;
	if (mine->own_process)
		sys_exit_group(ret < 0);
}
