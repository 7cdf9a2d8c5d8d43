/* SPDX-License-Identifier: MIT */
/* eventfd, restoring: made anew with its flag, then filled. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <ckpt/plugin.h>

#include "plugins/eventfd/format.h"

static int eventfd_open(struct ckpt_restore *r, const struct ckpt_object *object)
{
	const struct eventfd_record *record = object->body;
	int fd;

	(void)r;
	if (object->length < sizeof(*record))
		return -EBADMSG;
	fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK |
				(record->semaphore ? EFD_SEMAPHORE : 0));
	if (fd < 0)
		return -errno;
	/* Not by eventfd(): that takes 32 bits only. */
	if (record->count && write(fd, &record->count, sizeof(uint64_t)) < 0) {
		int error = -errno;

		close(fd);
		return error;
	}
	return fd;
}

static void eventfd_show(const struct ckpt_object *object, char *line,
			 size_t size)
{
	const struct eventfd_record *record = object->body;

	if (object->length >= sizeof(*record))
		snprintf(line, size, "count %llu%s",
			 (unsigned long long)record->count,
			 record->semaphore ? ", semaphore" : "");
}

const struct ckpt_restorer eventfd_restorer = {
	.kind = 69,
	.name = "eventfd",
	.open = eventfd_open,
	.show = eventfd_show,
	.no_position = 1,
};
