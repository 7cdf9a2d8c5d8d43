/* SPDX-License-Identifier: MIT */
/* The ids of processes of root's that had become other users. */
#ifndef CREDENTIALS_H
#define CREDENTIALS_H

#include <jansson.h>

#include "restart/job.h"
#include "restore/bare.h"

/* Those that were the same somebody. */
struct job_ids {
	uint32_t *tids;
	size_t tid_count;
	uint32_t uid[4], gid[4]; /* real, effective, saved, file system */
	uint32_t *groups;
	size_t group_count;
	uint64_t capabilities[5]; /* inheritable, permitted, effective,
				   * bounding, ambient */
	int no_new_privs;
};

/* From the process's entry in the manifest's tree. By fail(). */
void credentials_read(struct job *job, struct job_process *p,
		      const json_t *entry);
/* May we, and does the image agree? By fail(). */
void credentials_check(const struct job *job);
const struct job_ids *credentials_of(const struct job_process *p, int32_t tid);
/* 1: any thread of it can be root again when it likes. */
int credentials_may_be_root(const struct job_process *p);

/* The calls by which a thread becomes that; ids NULL: it stays what it is.
 * `memory` is so large and stays. close_fd -1: none. */
size_t credentials_calls_size(const struct job_ids *ids);
struct bare_call *credentials_plan(const struct job_ids *ids, int close_fd,
				   void *memory);

#endif
