// SPDX-License-Identifier: MIT
/*
 * The plugins' show() hooks. Of what else their code may call nothing is ever
 * reached from here.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <ckpt/plugin.h>

#include "image-tool/image-tool.h"

#define KIND_0(name)
#define KIND_1(name) extern const struct ckpt_restorer name##_restorer;
#define KIND(name, number, saver, restorer) KIND_##restorer(name)
#include "plugins/kinds.def"
#undef KIND
#undef KIND_1

#define KIND_1(name) &name##_restorer,
#define KIND(name, number, saver, restorer) KIND_##restorer(name)
static const struct ckpt_restorer *const restorers[] = {
#include "plugins/kinds.def"
	NULL,
};
#undef KIND

int object_show(const struct image_record *record, const void *body,
		char *line, size_t size, const char **kind, uint32_t *id)
{
	const struct image_object *head = body;
	struct ckpt_object object = {.first_fd = -1, .label = "",
				     .kind = record->kind};
	size_t i, skip = 0;

	*id = 0;
	line[0] = 0;
	for (i = 0; restorers[i]; i++)
		if (restorers[i]->kind == record->kind)
			break;
	if (!restorers[i])
		return 0;
	*kind = restorers[i]->name;
	/* What stands for a descriptor begins with what all of them have. */
	if (restorers[i]->open) {
		skip = sizeof(*head);
		if (record->length < skip)
			return 1;
		object.id = *id = head->id;
		object.status_flags = head->status_flags;
		object.position = head->position;
		object.file = head->file;
		object.dev = head->dev;
		object.ino = head->ino;
	}
	object.body = (const char *)body + skip;
	object.length = record->length - skip;
	if (restorers[i]->show)
		restorers[i]->show(&object, line, size);
	return 1;
}

/* ---- what restoring would need ---- */

int ckpt_object_fd(struct ckpt_restore *r, uint32_t object)
{
	(void)r;
	(void)object;
	abort();
}

int ckpt_old_fd(struct ckpt_restore *r, int fd)
{
	(void)r;
	(void)fd;
	abort();
}

const struct ckpt_object *ckpt_object_by_inode(struct ckpt_restore *r,
					       uint32_t kind, uint64_t ino,
					       const struct ckpt_object *after)
{
	(void)r;
	(void)kind;
	(void)ino;
	(void)after;
	abort();
}

const struct ckpt_object *ckpt_object_named(struct ckpt_restore *r,
					    const struct ckpt_object *object,
					    uint32_t id)
{
	(void)r;
	(void)object;
	(void)id;
	abort();
}

int ckpt_object_is_common(struct ckpt_restore *r, uint32_t id)
{
	(void)r;
	(void)id;
	abort();
}

const struct ckpt_object *ckpt_object_record(struct ckpt_restore *r,
					     const struct ckpt_object *object,
					     size_t nth)
{
	(void)r;
	(void)object;
	(void)nth;
	abort();
}

int ckpt_as(struct ckpt_restore *r, int pid, int (*call)(void *),
	    void *argument, size_t size)
{
	(void)r;
	(void)pid;
	(void)call;
	(void)argument;
	(void)size;
	abort();
}

void ckpt_bond(struct ckpt_bonds *bonds, uint64_t what)
{
	(void)bonds;
	(void)what;
	abort();
}

void ckpt_bond_object(struct ckpt_bonds *bonds, uint32_t id)
{
	(void)bonds;
	(void)id;
	abort();
}

void ckpt_bond_same(struct ckpt_bonds *bonds, uint64_t what, int sure)
{
	(void)bonds;
	(void)what;
	(void)sure;
	abort();
}

void ckpt_bond_commons(struct ckpt_bonds *bonds)
{
	(void)bonds;
	abort();
}

void ckpt_bond_terminal(struct ckpt_bonds *bonds, int session)
{
	(void)bonds;
	(void)session;
	abort();
}

int ckpt_meet(struct ckpt_restore *r, struct ckpt_meeting *ends, size_t count)
{
	(void)r;
	(void)ends;
	(void)count;
	abort();
}

void ckpt_proof(struct ckpt_restore *r, const char *what,
		unsigned char proof[32])
{
	(void)r;
	(void)what;
	(void)proof;
	abort();
}

int ckpt_group(struct ckpt_restore *r)
{
	(void)r;
	abort();
}

const char *ckpt_host_address(struct ckpt_restore *r, size_t nth)
{
	(void)r;
	(void)nth;
	abort();
}

int ckpt_foreground(struct ckpt_restore *r)
{
	(void)r;
	abort();
}

int ckpt_open_file(struct ckpt_restore *r, const struct ckpt_object *object,
		   int flags)
{
	(void)r;
	(void)object;
	(void)flags;
	abort();
}

int ckpt_standard_stream(struct ckpt_restore *r, int number)
{
	(void)r;
	(void)number;
	abort();
}

void ckpt_report(struct ckpt_restore *r, const char *format, ...)
{
	(void)r;
	(void)format;
	abort();
}

int ckpt_adopt(struct ckpt_restore *r, uint32_t object, int fd)
{
	(void)r;
	(void)object;
	(void)fd;
	abort();
}
