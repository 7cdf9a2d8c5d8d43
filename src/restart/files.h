/* SPDX-License-Identifier: MIT */
/*
 * The files that a job had open or mapped.
 *
 * files_decide() looks at each, without changing anything, and refuses what
 * cannot be had. files_apply() then rolls back, in ckpt_restart; files_undo()
 * takes that back when the restart fails after all, files_settle() makes it
 * final. After files_apply() the processes only open.
 */
#ifndef FILES_H
#define FILES_H

#include "restart/job.h"

void files_decide(struct job *job);
void files_apply(struct job *job);
void files_undo(void);
void files_settle(void);

/* For a mapping: the exact content, if need be from the store. writable: for
 * a shared mapping. Returns a descriptor or -errno. */
int files_open_mapped(const struct job_file *file, int writable);
/* For a descriptor; flags as for open(). Returns a descriptor or -errno. */
int files_open(const struct job_file *file, int flags);

/* In the capsule's mount namespace: put the store's copy over a path that has
 * other content now, so that the program still sees its own there. */
void files_cover(struct job *job);

#endif
