/* SPDX-License-Identifier: MIT */
/*
 * One process on its way to become the program: its descriptors, and those
 * attributes that are easier set here than from the inside. Its place among
 * the others it has by now; the library sets the rest when memory is back.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "restart/capsule.h"
#include "restart/restore.h"
#include "restart/say.h"

static void write_number(const char *path, const char *what, const char *format,
			 long value)
{
	char text[32];
	int length = snprintf(text, sizeof(text), format, value);
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, (size_t)length) != length)
		report("%s could not be set to %s: %s", what, text,
		       strerror(errno));
	if (fd >= 0)
		close(fd);
}

/* A removed directory is a removed one again, empty. */
static void enter_removed(void)
{
	char path[] = "/tmp/ckpt-removed-XXXXXX";

	if (!mkdtemp(path) || chdir(path) < 0)
		fail("no directory can be made for the program, whose own had been removed: /tmp: %s",
		     strerror(errno));
	rmdir(path);
}

static void set_attributes(const struct job_process *p)
{
	const struct image_process *process = p->process;
	FILE *f;
	int adjust = 0;

	if (p->cwd && p->cwd->deleted)
		enter_removed();
	else if (p->cwd_path && chdir(p->cwd_path) < 0)
		fail("the program's working directory %s cannot be entered: %s",
		     p->cwd_path, strerror(errno));
	umask(process->umask);
	f = fopen("/proc/self/oom_score_adj", "re");
	if (f) {
		if (fscanf(f, "%d", &adjust) == 1 &&
		    adjust != process->oom_score_adj)
			write_number("/proc/self/oom_score_adj",
				     "oom_score_adj", "%ld",
				     process->oom_score_adj);
		fclose(f);
	}
	write_number("/proc/self/coredump_filter", "coredump_filter", "0x%lx",
		     process->coredump_filter);
	/* With READ_IMPLIES_EXEC our own mappings would come out wrong. */
	if (process->personality)
		personality((unsigned long)process->personality &
			    ~(unsigned long)READ_IMPLIES_EXEC);
}

void process_restore(struct job *job, struct job_process *p,
		     const char *group_dir, int caps_keep)
{
	stack_t none = {.ss_flags = SS_DISABLE};
	struct ckpt_restore r;

	/* One of ours (a sanitizer makes one) would stay with the thread: where
	 * there was none, a signal frame does not take it away. */
	sigaltstack(&none, NULL);
	prctl(PR_SET_DUMPABLE, 1);
	images_wake(p);
	descriptors_open(&r, job, p);
	set_attributes(p);
	plan_run(&r, group_dir, caps_keep);
}
