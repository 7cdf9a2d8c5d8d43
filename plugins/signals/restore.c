/* SPDX-License-Identifier: MIT */
/* signals: the process puts them back itself; this tells people of them. */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>

#include <ckpt/plugin.h>

#include "plugins/signals/format.h"

static void signals_show(const struct ckpt_object *object, char *line,
			 size_t size)
{
	const struct signals_record *record = object->body;
	unsigned handled = 0, ignored = 0, i;

	if (object->length < sizeof(*record))
		return;
	for (i = 0; i < SIGNALS_COUNT; i++) {
		handled += record->actions[i].handler > 1;
		ignored += record->actions[i].handler == 1;
	}
	snprintf(line, size, "%u handlers, %u ignored, %u pending", handled,
		 ignored, record->pending_count);
}

const struct ckpt_restorer signals_restorer = {
	.kind = 64,
	.name = "signals",
	.show = signals_show,
};
