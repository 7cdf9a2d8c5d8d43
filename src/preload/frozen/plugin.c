/* SPDX-License-Identifier: MIT */
/*
 * The frozen half of ckpt/plugin.h: kinds of objects, asked in the order of
 * plugins/kinds.def. This file knows none of them by name.
 */
#define _GNU_SOURCE
#include <sys/mman.h>

#include "preload/frozen/frozen.h"

#define SAVER_0(name)
#define SAVER_1(name) extern const struct ckpt_saver name##_saver;
#define KIND(name, number, saver, restorer) SAVER_##saver(name)
#include "plugins/kinds.def"
#undef KIND
#undef SAVER_1

#define SAVER_1(name) &name##_saver,
#define KIND(name, number, saver, restorer) SAVER_##saver(name)
static const struct ckpt_saver *const savers[] = {
#include "plugins/kinds.def"
};
#undef KIND

#define SAVERS (sizeof(savers) / sizeof(*savers))

/* The records, until plugins_records(): the process's own has to be the first
 * one and needs the time at which the last timer was read. The memory is not
 * scratch, because saving may allocate there meanwhile. */
struct ckpt_record {
	unsigned char *data;
	size_t length, size;
	size_t start; /* of the open one */
	int error;
};

/* Before each body. */
struct held {
	uint32_t kind;
	uint32_t has_head;
	uint64_t length;
	struct image_object head;
};

static struct ckpt_record body;
static uint32_t captured; /* savers whose capture() has been called */
static int capturing;

static int body_open(void)
{
	long at = sys_mmap(NULL, 64u << 10, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at < 0 && at >= -4095)
		return frozen_no_memory((int)at);
	body = (struct ckpt_record){
		.data = (unsigned char *)at,
		.size = 64u << 10,
	};
	return 0;
}

static void body_close(void)
{
	if (body.data)
		sys_munmap(body.data, body.size);
	body.data = NULL;
}

static int body_grow(size_t least)
{
	size_t size = body.size;
	long at;

	while (size < least)
		size *= 2;
	/* capture() runs under the program's own limits. */
	limits_lift();
	at = SYS_CALL(SYS_mremap, body.data, body.size, size, MREMAP_MAYMOVE);
	if (capturing)
		limits_lower();
	if (at < 0 && at >= -4095)
		return (int)at;
	body.data = (unsigned char *)at;
	body.size = size;
	return 0;
}

void ckpt_put(struct ckpt_record *out, const void *data, size_t length)
{
	if (out->error)
		return;
	if (length > out->size - out->length)
		out->error = body_grow(out->length + length);
	if (out->error)
		return;
	__builtin_memcpy(out->data + out->length, data, length);
	out->length += length;
}

int ckpt_refuse(int error, ...)
{
	__builtin_va_list parts;

	__builtin_va_start(parts, error);
	frozen_fail_parts(error, parts);
	__builtin_va_end(parts);
	return error;
}

int ckpt_claim(uint64_t dev, uint64_t ino)
{
	const uint64_t what[5] = {CLAIM_PLUGIN, dev, ino};

	return frozen_claim(what);
}

int ckpt_masked(const char *feature)
{
	return frozen_masked(feature);
}

static void hold_begin(void)
{
	static const struct held none;

	body.start = body.length;
	ckpt_put(&body, &none, sizeof(none));
}

static void hold_end(uint32_t kind, const struct image_object *head)
{
	static const char padding[8];
	size_t length = body.length - body.start - sizeof(struct held);
	struct held *h;

	ckpt_put(&body, padding, -body.length & 7);
	if (body.error)
		return;
	h = (struct held *)(body.data + body.start);
	h->kind = kind;
	h->length = length;
	if (head) {
		h->has_head = 1;
		h->head = *head;
	}
}

static void hold_drop(void)
{
	body.length = body.start;
}

static int is_held_empty(void)
{
	return body.length == body.start + sizeof(struct held);
}

int plugins_records(void)
{
	size_t at = 0;
	int ret = body.error;

	while (ret == 0 && at < body.length) {
		const struct held *h = (const void *)(body.data + at);

		image_record_begin(frozen.writer, h->kind, 1);
		if (h->has_head)
			image_record_put(frozen.writer, &h->head,
					 sizeof(h->head));
		image_record_put(frozen.writer, h + 1, h->length);
		image_record_end(frozen.writer);
		at += sizeof(*h) + ((h->length + 7) & ~7ull);
	}
	body_close();
	return ret < 0 ? frozen_fail(ret, "collecting the image's records: ",
				     frozen_strerror(ret), NULL)
		       : 0;
}

int plugins_capture(void)
{
	int ret = body_open();
	size_t i;

	limits_lower();
	capturing = 1;
	for (i = 0; i < SAVERS && ret == 0; i++) {
		captured = (uint32_t)i + 1;
		if (!savers[i]->capture)
			continue;
		hold_begin();
		ret = savers[i]->capture(&body);
		if (ret == 0)
			ret = body.error;
		if (ret < 0)
			frozen_fail(ret, savers[i]->name, ": cannot be saved: ",
				    frozen_strerror(ret), NULL);
		else if (is_held_empty())
			hold_drop();
		else
			hold_end(savers[i]->kind, NULL);
	}
	capturing = 0;
	limits_lift();
	return ret;
}

void plugins_leave(int ret)
{
	body_close();
	while (captured > 0) {
		const struct ckpt_saver *saver = savers[--captured];

		if (saver->leave)
			saver->leave(ret);
	}
}

int plugins_revive(const char **what)
{
	size_t i;
	int ret;

	captured = 0;
	body.data = NULL; /* of the former life */
	for (i = 0; i < SAVERS; i++) {
		*what = savers[i]->name;
		ret = savers[i]->revive ? savers[i]->revive() : 0;
		if (ret < 0)
			return ret;
	}
	return 0;
}

static const struct ckpt_saver *saver_of(const struct ckpt_fd *fd)
{
	size_t i;

	for (i = 0; i < SAVERS; i++)
		if (savers[i]->matches && savers[i]->matches(fd))
			return savers[i];
	return NULL;
}

int plugins_inside(const struct ckpt_fd *fd)
{
	const struct ckpt_saver *saver = saver_of(fd);

	return saver && saver->inside ? saver->inside(fd) : 0;
}

static void owner_of(int fd, struct image_object *head)
{
	struct {
		int32_t type, pid;
	} owner = {0, 0};
	long signal = sys_fcntl(fd, F_GETSIG, 0);

	head->owner = -1;
	if (sys_fcntl(fd, 16 /* F_GETOWN_EX */, (unsigned long)&owner) == 0 &&
	    owner.pid) {
		head->owner_type = owner.type;
		head->owner = owner.pid;
	}
	head->signal = signal > 0 ? (int32_t)signal : 0;
}

static int save_one(const struct ckpt_fd *fd)
{
	const struct ckpt_saver *saver = saver_of(fd);
	struct image_object head = {
		.id = fd->object,
		.status_flags = fd->status_flags,
		.position = fd->position,
		.dev = fd->st.dev,
		.ino = fd->st.ino,
	};
	int ret;

	if (!saver || !saver->save)
		return frozen_fail(-EOPNOTSUPP, "fd ", NUMBER(fd->fd), " (",
				   fd->target, "): this kind of descriptor "
				   "cannot be saved", NULL);
	owner_of(fd->fd, &head);
	hold_begin();
	frozen.stored_file = 0;
	ret = saver->save(fd, &body);
	if (ret == 0)
		ret = body.error;
	if (ret < 0)
		return frozen_fail(ret, "fd ", NUMBER(fd->fd), " (",
				   fd->target, "): ", saver->name,
				   " cannot be saved: ", frozen_strerror(ret),
				   NULL);
	head.file = frozen.stored_file;
	hold_end(saver->kind, &head);
	return 0;
}

int plugins_save(void)
{
	uint32_t i;
	int ret = 0;

	for (i = 0; i < frozen.fd_count && ret == 0; i++)
		if (frozen.fd_leader[i] == i)
			ret = save_one(&frozen.descriptors[i]);
	return ret;
}

/* Free places are sums of 0. */
const char *ckpt_watched(uint64_t dev, uint64_t ino, uint32_t nth)
{
	const struct preload_watch *w = __atomic_load_n(
		&preload_watches.heads[ino % PRELOAD_WATCH_HEADS],
		__ATOMIC_ACQUIRE);

	for (; w; w = w->next)
		if (w->ino == ino && w->dev == dev && nth-- == 0)
			return w->path;
	return NULL;
}

int ckpt_undo(uint32_t index, struct ckpt_undo *undo)
{
	const struct preload_undo_sum *s = preload_undo.sums + index;

	if (preload_undo.pid != sys_getpid())
		return 0;
	if (preload_undo.full)
		return -ENOSPC;
	if (index >= PRELOAD_UNDO_MAX)
		return 0;
	*undo = (struct ckpt_undo){
		.id = (int)(s->key >> 32),
		.number = (int)((uint32_t)s->key >> 1),
		.sum = s->key ? s->value : 0,
	};
	return 1;
}
