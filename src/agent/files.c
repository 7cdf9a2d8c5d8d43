/* SPDX-License-Identifier: MIT */
/* The files that processes asked to keep. What may change once they run is
 * copied before the release, the rest (libraries) while images are written. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/now.h"

static void file_copy_run(struct worker_job *job)
{
	struct store_file *file = container_of(job, struct store_file, job);
	int ret = worker_cancelled() ? -ECANCELED : store_copy(file);

	if (ret < 0 && !file->why[0])
		snprintf(file->why, sizeof(file->why), "cancelled");
	file->state = ret < 0 ? ret : FILE_COPIED;
}

static void file_keep_run(struct worker_job *job)
{
	struct store_file *file = container_of(job, struct store_file, job);
	int ret = worker_cancelled() ? -ECANCELED : 0;

	if (ret == 0 && file->state == FILE_WAITING)
		ret = store_copy(file);
	if (ret == 0)
		ret = store_keep(file);
	file->state = ret < 0 ? ret : FILE_KEPT;
}

static void file_done(struct worker_job *job)
{
	struct store_file *file = container_of(job, struct store_file, job);

	now.copying--;
	if (now.state != RUNNING) {
		ending_step();
		return;
	}
	if (file->state < 0)
		ending_fail(NULL, file->state, "%s into %s/store", file->why,
			    now.generation.parent);
	else
		checkpoint_advance();
}

static void file_copy(struct store_file *file)
{
	now.copying++;
	file->job.run = file_copy_run;
	file->job.done = file_done;
	file->state = FILE_COPYING;
	worker_submit(&file->job);
}

void files_keep(void)
{
	for (struct store_file *file = now.files; file; file = file->next) {
		now.copying++;
		file->job.run = file_keep_run;
		file->job.done = file_done;
		worker_submit(&file->job);
	}
}

/* Others, who are somebody else, may have the file that it is said to be. */
static int is_that(const struct service_file *said, int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_dev == said->dev &&
	       st.st_ino == said->ino;
}

void files_came(const struct service_file *said, int fd)
{
	struct store_file *file = now.files;

	if (!is_that(said, fd)) {
		close(fd);
		ending_fail(NULL, -EPROTO, "a process sent another file than it said");
		return;
	}
	while (file && (file->dev != said->dev || file->ino != said->ino ||
			file->size != said->size || file->mtime != said->mtime))
		file = file->next;
	if (file) {
		close(fd);
		if (said->how == SERVICE_FILE_NOW && !file->now) {
			file->now = 1;
			file_copy(file);
		}
		return;
	}
	file = calloc(1, sizeof(*file));
	if (!file) {
		close(fd);
		ending_fail(NULL, -ENOMEM, "the list of files");
		return;
	}
	file->dev = said->dev;
	file->ino = said->ino;
	file->size = said->size;
	file->mtime = said->mtime;
	file->fd = fd;
	file->copy = -1;
	file->now = said->how == SERVICE_FILE_NOW;
	file->next = now.files;
	now.files = file;
	if (file->now)
		file_copy(file);
}

void files_free(void)
{
	while (now.files) {
		struct store_file *file = now.files;

		now.files = file->next;
		if (file->fd >= 0)
			close(file->fd);
		free(file);
	}
}
