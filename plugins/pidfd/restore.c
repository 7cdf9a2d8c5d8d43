/* SPDX-License-Identifier: MIT */
/* pidfd, restoring: all processes are there and have their pids. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ckpt/plugin.h>

#include "plugins/pidfd/format.h"

/* Of one that has ended and been waited for. */
static int pidfd_dead(void)
{
	pid_t pid = fork();
	long fd;

	if (pid < 0)
		return -errno;
	if (pid == 0)
		_exit(0);
	fd = syscall(SYS_pidfd_open, pid, 0);
	fd = fd < 0 ? -errno : fd;
	waitpid(pid, NULL, 0);
	return (int)fd;
}

static int pidfd_open_again(struct ckpt_restore *r,
			    const struct ckpt_object *object)
{
	const struct pidfd_record *record = object->body;
	long fd;

	if (object->length < sizeof(*record))
		return -EBADMSG;
	if (record->pid == -2)
		ckpt_report(r, "%s: its process is outside the computation; it looks ended now",
			    object->label);
	if (record->pid < 0)
		return pidfd_dead();
	fd = syscall(SYS_pidfd_open, record->pid, record->flags);
	if (fd < 0 && errno == ESRCH)
		return pidfd_dead();
	return fd < 0 ? -errno : (int)fd;
}

static void pidfd_show(const struct ckpt_object *object, char *line, size_t size)
{
	const struct pidfd_record *record = object->body;

	if (object->length < sizeof(*record))
		return;
	if (record->pid < 0)
		snprintf(line, size, "a process that has ended%s",
			 record->pid == -2 ? ", or is another's" : "");
	else
		snprintf(line, size, "process %d", record->pid);
}

const struct ckpt_restorer pidfd_restorer = {
	.kind = 75,
	.name = "pidfd",
	.open = pidfd_open_again,
	.show = pidfd_show,
	.no_position = 1,
	.never_shared = 1,
};
