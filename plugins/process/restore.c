/* SPDX-License-Identifier: MIT */
/*
 * process, restoring: what belongs to threads and is inherited by the ones
 * that are made later. The rest the process puts back itself.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <ckpt/plugin.h>

#include "plugins/process/format.h"

static void process_speculation(const struct process_record *record)
{
	unsigned long i;

	/* Only what a thread chose itself, and what can be chosen here. */
	for (i = 0; i < 3; i++)
		if (record->speculation[i] > 0 &&
		    (record->speculation[i] & PR_SPEC_PRCTL))
			prctl(PR_SET_SPECULATION_CTRL, i,
			      record->speculation[i] & ~PR_SPEC_PRCTL, 0, 0);
}

/* Nobody gets what he had not; what cannot be given any more is lost. */
static void process_capabilities(const struct process_record *record)
{
	unsigned long bit;

	for (bit = 0; bit < 64; bit++) {
		int set = prctl(PR_CAPBSET_READ, bit, 0, 0, 0);

		if (set < 0)
			break;
		if (set && !(record->bounding >> bit & 1))
			prctl(PR_CAPBSET_DROP, bit, 0, 0, 0);
		if (record->ambient >> bit & 1)
			prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, bit, 0, 0);
	}
}

/* The process sets its limits itself, but may be no more who could raise one
 * that is lower here. */
static void process_limits(const struct process_record *record)
{
	struct rlimit limit;
	int i;

	for (i = 0; i < PROCESS_LIMITS; i++) {
		if (getrlimit((__rlimit_resource_t)i, &limit) < 0 ||
		    limit.rlim_max >= record->limits[i].hard)
			continue;
		limit.rlim_max = record->limits[i].hard;
		setrlimit((__rlimit_resource_t)i, &limit);
	}
}

static int process_process(struct ckpt_restore *r, const void *body,
			   size_t length)
{
	const struct process_record *record = body;

	if (length < sizeof(*record))
		return -EBADMSG;
	if (record->seccomp > 0)
		ckpt_report(r, "the program ran under a seccomp filter, which "
			       "cannot be read: it runs without one now");
	if (record->tsc > 0 && record->tsc != PR_TSC_ENABLE)
		prctl(PR_SET_TSC, record->tsc, 0, 0, 0);
	process_speculation(record);
	process_limits(record);
	if (record->io_flusher > 0)
		prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
	process_capabilities(record);
	if (record->securebits > 0 &&
	    prctl(PR_SET_SECUREBITS, record->securebits, 0, 0, 0) < 0)
		ckpt_report(r, "securebits cannot be set: %m");
	if (record->no_new_privs > 0 &&
	    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		ckpt_report(r, "no_new_privs cannot be set: %m");
	return 0;
}

static void process_show(const struct ckpt_object *object, char *line,
			 size_t size)
{
	const struct process_record *record = object->body;

	if (object->length < sizeof(*record))
		return;
	snprintf(line, size,
		 "dumpable %d, subreaper %d, no_new_privs %d, seccomp %d, "
		 "membarrier %#x", record->dumpable, record->subreaper,
		 record->no_new_privs, record->seccomp,
		 (unsigned)record->membarrier);
}

const struct ckpt_restorer process_restorer = {
	.kind = 66,
	.name = "process",
	.process = process_process,
	.show = process_show,
};
