// SPDX-License-Identifier: MIT
/*
 * An image as JSON. A record may be shorter or longer than we know it (another
 * version): what is not there is zero.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "image-tool/image-tool.h"

/* The fixed part of a record into `to`; what follows it stands in *rest. */
static void fixed(const struct image_record *record, const void *body, void *to,
		  size_t size, const char **rest, size_t *rest_length)
{
	size_t have = record->length < size ? record->length : size;

	memset(to, 0, size);
	memcpy(to, body, have);
	*rest = (const char *)body + have;
	*rest_length = record->length - have;
}

static json_t *path_json(const char *rest, size_t have, uint32_t length)
{
	return text_json(rest, length < have ? length : have);
}

static json_t *hex(uint64_t value)
{
	char text[20];

	snprintf(text, sizeof(text), "%" PRIx64, value);
	return json_string(text);
}

static json_t *number(uint64_t value)
{
	return json_integer((json_int_t)value);
}

static json_t *comm_json(const char comm[16])
{
	return text_json(comm, strnlen(comm, 16));
}

struct name {
	uint32_t bit;
	const char *name;
};

static json_t *names_json(uint32_t bits, const struct name *names, size_t count)
{
	json_t *list = json_array();
	size_t i;

	for (i = 0; i < count; i++)
		if (bits & names[i].bit)
			json_array_append_new(list,
					      json_string(names[i].name));
	return list;
}

#define NAMES(bits, table)                                                     \
	names_json(bits, table, sizeof(table) / sizeof(*(table)))

static json_t *process_json(const struct image_record *record,
			    const void *body)
{
	static const struct name flags[] = {
		{IMAGE_LEADER_DEAD, "leader-dead"},
		{IMAGE_SESSION_LEADER, "session-leader"},
		{IMAGE_GROUP_LEADER, "group-leader"},
		{IMAGE_HAS_TTY, "tty"},
		{IMAGE_TTY_FOREGROUND, "tty-foreground"},
	};
	struct image_process p;
	const char *rest;
	size_t length;

	fixed(record, body, &p, sizeof(p), &rest, &length);
	return json_pack(
		"{s:i, s:i, s:i, s:i, s:o, s:i, s:i, s:i, s:o, s:i, s:i, s:i, "
		"s:o, s:o, s:o, s:o, s:o}",
		"pid", p.pid, "ppid", p.ppid, "pgid", p.pgid, "sid", p.sid,
		"comm", comm_json(p.comm), "uid", (int)p.uid, "gid", (int)p.gid,
		"threads", (int)p.threads, "flags", NAMES(p.flags, flags),
		"exe_file", (int)p.exe_file, "umask", (int)p.umask,
		"oom_score_adj", p.oom_score_adj, "brk_start",
		hex(p.mm.start_brk), "brk", hex(p.mm.brk), "vdso", hex(p.vdso),
		"realtime", number(p.realtime), "monotonic",
		number(p.monotonic));
}

static json_t *thread_json(const struct image_record *record, const void *body)
{
	struct image_thread t;
	const char *rest;
	size_t length;

	fixed(record, body, &t, sizeof(t), &rest, &length);
	return json_pack("{s:i, s:o, s:o, s:o}", "tid", t.tid, "comm",
			 comm_json(t.comm), "ip", hex(t.user_ip), "sp",
			 hex(t.user_sp));
}

static json_t *area_json(const struct image_record *record, const void *body)
{
	static const char *const types[] = {"anonymous",   "file-private",
					    "file-shared", "shared",
					    "registry",	   "file-lost",
					    "sysv"};
	static const struct name flags[] = {
		{AREA_GROWSDOWN, "growsdown"},
		{AREA_NORESERVE, "noreserve"},
		{AREA_LOCKED, "locked"},
		{AREA_LOCKONFAULT, "lock-on-fault"},
		{AREA_DONTFORK, "dontfork"},
		{AREA_WIPEONFORK, "wipeonfork"},
		{AREA_DONTDUMP, "dontdump"},
		{AREA_HUGEPAGE, "hugepage"},
		{AREA_NOHUGEPAGE, "nohugepage"},
		{AREA_MERGEABLE, "mergeable"},
		{AREA_SEQ_READ, "sequential"},
		{AREA_RAND_READ, "random"},
		{AREA_HUGETLB, "hugetlb"},
		{AREA_HEAP, "heap"},
		{AREA_STACK, "stack"},
		{AREA_DROPPABLE, "droppable"},
		{AREA_READ_ONLY, "read-only"},
	};
	struct image_area a;
	const char *rest;
	size_t length, guards;
	char prot[4] = "---";

	fixed(record, body, &a, sizeof(a), &rest, &length);
	if (a.prot & PROT_READ)
		prot[0] = 'r';
	if (a.prot & PROT_WRITE)
		prot[1] = 'w';
	if (a.prot & PROT_EXEC)
		prot[2] = 'x';
	guards = a.guards * sizeof(struct image_guard);
	if (guards > length)
		guards = length;
	return json_pack(
		"{s:o, s:o, s:s, s:s, s:o, s:i, s:o, s:i, s:o}", "start",
		hex(a.start), "end", hex(a.end), "prot", prot, "type",
		a.type < sizeof(types) / sizeof(*types) ? types[a.type] : "?",
		"flags", NAMES(a.flags, flags), "file", (int)a.file, "offset",
		hex(a.offset), "guards", (int)a.guards, "name",
		path_json(rest + guards, length - guards, a.name_length));
}

static json_t *file_json(const struct image_record *record, const void *body)
{
	static const struct name flags[] = {
		{FILE_DELETED, "deleted"},
		{FILE_STORED, "stored"},
		{FILE_CONTENT, "content"},
		{FILE_SHM, "shm"},
		{FILE_APPEND_ONLY, "append-only"},
	};
	struct image_file f;
	const char *rest;
	size_t length;

	fixed(record, body, &f, sizeof(f), &rest, &length);
	return json_pack("{s:i, s:o, s:o, s:o, s:o, s:o, s:i, s:o}", "id",
			 (int)f.id, "path",
			 path_json(rest, length, f.path_length), "size",
			 number(f.size), "dev", number(f.dev), "ino",
			 number(f.ino), "mtime", number((uint64_t)f.mtime),
			 "mode", (int)f.mode, "flags", NAMES(f.flags, flags));
}

static json_t *fd_json(const struct image_record *record, const void *body)
{
	struct image_fd f;
	const char *rest;
	size_t length;

	fixed(record, body, &f, sizeof(f), &rest, &length);
	return json_pack("{s:i, s:b, s:i}", "fd", f.fd, "cloexec",
			 f.flags != 0, "object", (int)f.object);
}

static json_t *cpu_json(const struct image_record *record, const void *body)
{
	struct image_cpu c;
	const char *rest;
	size_t length;

	fixed(record, body, &c, sizeof(c), &rest, &length);
	return json_pack("{s:o, s:i, s:i, s:o, s:i}", "vendor",
			 comm_json(c.vendor), "family", (int)c.family, "model",
			 (int)c.model, "xcr0", hex(c.xcr0), "xsave_size",
			 (int)c.xsave_size);
}

static json_t *cwd_json(const struct image_record *record, const void *body)
{
	struct image_cwd c;
	const char *rest;
	size_t length;

	fixed(record, body, &c, sizeof(c), &rest, &length);
	return path_json(rest, length, c.path_length);
}

static void object_add(json_t *image, const struct image_record *record,
		       const void *body)
{
	const char *kind = "?";
	char line[600];
	uint32_t id;
	json_t *o;

	if (!object_show(record, body, line, sizeof(line), &kind, &id))
		snprintf(line, sizeof(line),
			 "record of kind %u, unknown to this ckpt",
			 record->kind);
	o = json_pack("{s:s, s:o}", "kind", kind, "text",
		      text_json(line, strlen(line)));
	if (id) {
		json_object_set_new(o, "id", json_integer(id));
		json_array_append_new(json_object_get(image, "objects"), o);
	} else {
		json_array_append_new(json_object_get(image, "state"), o);
	}
}

static void record_add(json_t *image, const struct image_record *record,
		       const void *body)
{
	switch (record->kind) {
	case IMAGE_PROCESS:
		json_object_set_new(image, "process",
				    process_json(record, body));
		break;
	case IMAGE_THREAD:
		json_array_append_new(json_object_get(image, "threads"),
				      thread_json(record, body));
		break;
	case IMAGE_AREA:
		json_array_append_new(json_object_get(image, "areas"),
				      area_json(record, body));
		break;
	case IMAGE_FILE:
		json_array_append_new(json_object_get(image, "files"),
				      file_json(record, body));
		break;
	case IMAGE_FD:
		json_array_append_new(json_object_get(image, "fds"),
				      fd_json(record, body));
		break;
	case IMAGE_CPU:
		json_object_set_new(image, "cpu", cpu_json(record, body));
		break;
	case IMAGE_CWD:
		json_object_set_new(image, "cwd", cwd_json(record, body));
		break;
	case IMAGE_AUXV:
	case IMAGE_VDSO:
		break;
	default:
		object_add(image, record, body);
	}
}

json_t *describe_image(const struct image_reader *r, const char *path)
{
	const struct image_header *h = &r->header;
	struct image_record record;
	const void *body;
	size_t cursor = 0;
	char created[32], hash[20];
	json_t *image;

	text_time(h->created / 1000000000, created, sizeof(created), 1);
	snprintf(hash, sizeof(hash), "%016" PRIx64, h->header_hash);
	image = json_pack(
		"{s:o, s:i, s:s, s:o, s:o, s:i, s:i, s:s, s:o, s:o, s:o, s:o, "
		"s:o, s:[], s:[], s:[], s:[], s:[], s:[]}",
		"file", text_json(path, strlen(path)), "version",
		(int)h->version, "header_hash", hash, "computation",
		text_json(h->computation, strlen(h->computation)), "generation",
		number(h->generation), "pid", h->pid, "uid", (int)h->uid,
		"created", created, "raw", number(h->raw_bytes), "stored",
		number(h->stored_bytes), "size", number(h->file_size), "blocks",
		number(h->block_count), "extents", number(h->extent_count),
		"threads", "areas", "files", "fds", "objects", "state");
	while (image && image_reader_next(r, &cursor, &record, &body))
		record_add(image, &record, body);
	return image;
}
