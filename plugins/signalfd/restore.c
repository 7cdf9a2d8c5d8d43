/* SPDX-License-Identifier: MIT */
/* signalfd, restoring. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <ckpt/plugin.h>

#include "plugins/signalfd/format.h"

static int signalfd_open(struct ckpt_restore *r,
			 const struct ckpt_object *object)
{
	const struct signalfd_record *record = object->body;
	long fd;

	(void)r;
	if (object->length < sizeof(*record))
		return -EBADMSG;
	/* Raw: the library's type has no room for signals it keeps away. */
	fd = syscall(SYS_signalfd4, -1, &record->mask, sizeof(record->mask),
		     SFD_CLOEXEC);
	return fd < 0 ? -errno : (int)fd;
}

static void signalfd_show(const struct ckpt_object *object, char *line,
			  size_t size)
{
	const struct signalfd_record *record = object->body;

	if (object->length >= sizeof(*record))
		snprintf(line, size, "mask %016llx",
			 (unsigned long long)record->mask);
}

const struct ckpt_restorer signalfd_restorer = {
	.kind = 71,
	.name = "signalfd",
	.open = signalfd_open,
	.show = signalfd_show,
	.no_position = 1,
};
