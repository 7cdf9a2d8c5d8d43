/* SPDX-License-Identifier: MIT */
/*
 * The process that is about to become the restarted one: what process.c,
 * descriptors.c and plan.c share while they build it. It lives in a fork of
 * ckpt_restart, single-threaded, all signals blocked. So does init, which is
 * none, while it makes what several of them share.
 */
#ifndef RESTORE_H
#define RESTORE_H

#include "ckpt/plugin.h"
#include "restart/job.h"

struct ckpt_restore {
	const struct job *job;
	const struct job_process *process; /* or the commons */
	struct ckpt_object *views; /* by index of object */
	uint32_t *by_inode; /* indices, by kind, inode and id */
	struct ckpt_object record; /* ckpt_object_record()'s, and whose it is */
	const struct job_process *record_of;
	int *made;	 /* descriptor by index of object, -1: not yet */
	int *standard;	 /* by index of object: a standard stream of ours */
	int streams[3];	 /* ckpt_restart's own, at high numbers */
	int asked;	 /* ckpt_standard_stream() was called */
	int placed;	 /* all stand at their old numbers */
	unsigned char *wanted; /* bitmap of the program's numbers */
	int wanted_end;
};

/* descriptors.c. check runs in ckpt_restart, the others in the process. */
void descriptors_check(struct job *job);
void descriptors_open(struct ckpt_restore *r, const struct job *job,
		      const struct job_process *p);
/* Init: all of the commons. */
void descriptors_share(struct ckpt_restore *r, struct job *job);
void descriptors_place(struct ckpt_restore *r);
/* Last of all, when nothing but the restorer closes anything. */
void descriptors_connect(struct ckpt_restore *r);
/* A descriptor of the program's own by which the file can be mapped, or -1. */
int descriptors_for_file(const struct ckpt_restore *r,
			 const struct job_file *file, int writable);
/* The same descriptor at a number that the program does not use, CLOEXEC. The
 * old one is closed unless it is the program's. By fail(). */
int descriptors_lift(struct ckpt_restore *r, int fd);
/* Close all but the program's and `keep` (ascending or not). */
void descriptors_close_others(const struct ckpt_restore *r, const int32_t *keep,
			      size_t count);

/* meeting.c: in init, what has a part in another host group. By fail(). */
void meeting_hold(struct ckpt_restore *r);

/* plan.c: into the old memory. */
_Noreturn void plan_run(struct ckpt_restore *r, const char *group_dir,
			int caps_keep);

#endif
