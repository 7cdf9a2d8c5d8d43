/* SPDX-License-Identifier: MIT */
/* timers: the process puts them back itself; this tells people of them. */
#define _GNU_SOURCE
#include <stdio.h>

#include <ckpt/plugin.h>

#include "plugins/timers/format.h"

static void timers_show(const struct ckpt_object *object, char *line,
			size_t size)
{
	const struct timers_record *record = object->body;
	unsigned armed = 0, i;

	if (object->length < sizeof(*record))
		return;
	for (i = 0; i < 3; i++)
		armed += record->interval[i].value_s ||
			 record->interval[i].value_us;
	snprintf(line, size, "%u interval timers run, %u POSIX timers", armed,
		 record->posix_count);
}

const struct ckpt_restorer timers_restorer = {
	.kind = 65,
	.name = "timers",
	.show = timers_show,
};
