/* SPDX-License-Identifier: MIT */
/* See plugin_world.h. */
#define _GNU_SOURCE
#include "plugin_world.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "image/format.h"

#define WORLD_MAX 64

#define KIND(name, number, saver, restorer)                                    \
	extern const struct ckpt_saver name##_saver;
#include "plugins/kinds.def"
#undef KIND
#define RESTORER_0(name)
#define RESTORER_1(name) extern const struct ckpt_restorer name##_restorer;
#define KIND(name, number, saver, restorer) RESTORER_##restorer(name)
#include "plugins/kinds.def"
#undef KIND
#undef RESTORER_0
#undef RESTORER_1
#define RESTORER_0(name) NULL
#define RESTORER_1(name) &name##_restorer

static const struct {
	const struct ckpt_saver *saver;
	const struct ckpt_restorer *restorer;
} kinds[] = {
#define KIND(name, number, saver, restorer)                                    \
	{&name##_saver, RESTORER_##restorer(name)},
#include "plugins/kinds.def"
#undef KIND
};
#define KINDS (sizeof(kinds) / sizeof(*kinds))

struct ckpt_record {
	unsigned char *data;
	size_t length;
};

struct world_file {
	char path[4096];
	uint32_t flags;
	struct ckpt_stat st;
	char *content;
	int fd; /* nameless ones: made again */
};

static struct world {
	struct ckpt_fd fds[WORLD_MAX];
	int cloexec[WORLD_MAX];
	size_t count;
	struct ckpt_record records[WORLD_MAX + 1]; /* by object id */
	size_t kind[WORLD_MAX + 1];
	uint32_t objects;
	struct world_file files[WORLD_MAX];
	uint32_t file_count;
	int made[WORLD_MAX + 1];
	char refusal[512], reports[4096], shown[512];
} world;

struct ckpt_restore {
	int unused;
};

/* ---- the frozen core ---- */

void ckpt_put(struct ckpt_record *out, const void *data, size_t length)
{
	if (!length)
		return;
	out->data = realloc(out->data, out->length + length);
	memcpy(out->data + out->length, data, length);
	out->length += length;
}

int ckpt_refuse(int error, ...)
{
	va_list parts;
	const char *part;

	va_start(parts, error);
	world.refusal[0] = 0;
	while ((part = va_arg(parts, const char *)) != NULL)
		strncat(world.refusal, part,
			sizeof(world.refusal) - strlen(world.refusal) - 1);
	va_end(parts);
	return error;
}

int ckpt_claim(uint64_t dev, uint64_t ino)
{
	(void)dev;
	(void)ino;
	return 1;
}

int ckpt_found(const struct ckpt_fd *owner, int fd)
{
	(void)owner;
	close(fd);
	return 0;
}

uint32_t ckpt_inside(const struct ckpt_fd *owner, uint32_t nth)
{
	(void)owner;
	(void)nth;
	return 0;
}

int ckpt_masked(const char *feature)
{
	const char *masked = getenv("CKPT_MASK");

	return masked && strstr(masked, feature);
}

/* Alone, and without System V objects: the kind's story has those. */
int ckpt_is_member(int pid)
{
	return pid == getpid();
}

int ckpt_was_member(int pid)
{
	return ckpt_is_member(pid);
}

int64_t ckpt_since(void)
{
	return INT64_MAX;
}

int ckpt_remote(const unsigned char own[16], uint16_t own_port,
		const unsigned char other[16], uint16_t other_port,
		struct ckpt_remote *remote)
{
	return 0 * (own_port + other_port + !own + !other + !remote);
}

int ckpt_has_others(void)
{
	return 0;
}

const char *ckpt_watched(uint64_t dev, uint64_t ino, uint32_t nth)
{
	(void)dev;
	(void)ino;
	(void)nth;
	return NULL;
}

int ckpt_undo(uint32_t index, struct ckpt_undo *undo)
{
	return 0 * (index + !undo);
}

int ckpt_attached(uint32_t index, struct ckpt_attachment *attachment)
{
	return 0 * (index + !attachment);
}

void *ckpt_reserve(size_t length)
{
	return calloc(1, length);
}

size_t ckpt_fd_count(void)
{
	return world.count;
}

const struct ckpt_fd *ckpt_fd_at(size_t index)
{
	return &world.fds[index];
}

const struct ckpt_fd *ckpt_fd_numbered(int fd)
{
	for (size_t i = 0; i < world.count; i++)
		if (world.fds[i].fd == fd)
			return &world.fds[i];
	return NULL;
}

const struct ckpt_fd *ckpt_fd_by_inode(uint64_t dev, uint64_t ino,
				       const struct ckpt_fd *after)
{
	size_t i = after ? (size_t)(after - world.fds) + 1 : 0;

	for (; i < world.count; i++)
		if (world.fds[i].st.dev == dev && world.fds[i].st.ino == ino)
			return &world.fds[i];
	return NULL;
}

int ckpt_store_file(const struct ckpt_fd *fd, uint32_t flags, int now)
{
	struct world_file *file;
	char path[64], *end;
	uint32_t i;
	int copy;

	(void)now;
	for (i = 0; i < world.file_count; i++)
		if (world.files[i].st.ino == fd->st.ino &&
		    world.files[i].st.dev == fd->st.dev) {
			world.files[i].flags |= flags;
			return (int)i + 1;
		}
	file = &world.files[world.file_count++];
	snprintf(file->path, sizeof(file->path), "%s", fd->target);
	end = strstr(file->path, " (deleted)");
	if (end && (flags & FILE_DELETED))
		*end = 0;
	file->flags = flags;
	file->st = fd->st;
	file->fd = -1;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd->fd);
	copy = open(path, O_RDONLY);
	file->content = malloc(fd->st.size + 1);
	if (copy >= 0 &&
	    pread(copy, file->content, fd->st.size, 0) != (ssize_t)fd->st.size)
		return -EIO;
	if (copy >= 0)
		close(copy);
	return (int)world.file_count;
}

static char *world_slurp(const char *path)
{
	char *text = calloc(1, 65536);
	int fd = open(path, O_RDONLY);
	size_t held = 0;
	ssize_t got;

	while (fd >= 0 && held < 65535 &&
	       (got = read(fd, text + held, 65535 - held)) > 0)
		held += (size_t)got;
	close(fd);
	return text;
}

static void world_look(struct ckpt_fd *fd, int number)
{
	char path[64], target[4096];
	struct stat st;
	ssize_t length;
	char *at;

	fd->fd = number;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", number);
	length = readlink(path, target, sizeof(target) - 1);
	target[length < 0 ? 0 : length] = 0;
	fd->target = strdup(target);
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", number);
	fd->fdinfo = world_slurp(path);
	at = strstr(fd->fdinfo, "flags:");
	fd->status_flags =
		(uint32_t)strtoul(at + 6, NULL, 8) & ~(uint32_t)O_CLOEXEC;
	at = strstr(fd->fdinfo, "pos:");
	fd->position = strtoll(at + 4, NULL, 10);
	fstat(number, &st);
	fd->st = (struct ckpt_stat){
		.dev = st.st_dev, .ino = st.st_ino, .rdev = st.st_rdev,
		.size = (uint64_t)st.st_size, .nlink = st.st_nlink,
		.mode = st.st_mode, .uid = st.st_uid, .gid = st.st_gid,
	};
}

static int world_same(int a, int b)
{
	pid_t pid = getpid();

	return syscall(SYS_kcmp, pid, pid, KCMP_FILE, a, b) == 0;
}

static int world_save_one(const struct ckpt_fd *fd)
{
	size_t k;

	for (k = 0; k < KINDS; k++) {
		const struct ckpt_saver *saver = kinds[k].saver;

		if (!saver->matches || !saver->matches(fd))
			continue;
		world.kind[fd->object] = k;
		return saver->save(fd, &world.records[fd->object]);
	}
	return -ENOENT;
}

int world_save(const int *fds, size_t count)
{
	size_t i, j;

	world_forget();
	for (i = 0; i < count; i++) {
		world_look(&world.fds[i], fds[i]);
		world.cloexec[i] = fcntl(fds[i], F_GETFD) & FD_CLOEXEC;
		for (j = 0; j < i; j++)
			if (world_same(fds[i], fds[j]))
				break;
		world.fds[i].object = j < i ? world.fds[j].object :
					      ++world.objects;
	}
	world.count = count;
	for (i = 0; i < count; i++) {
		int ret = 0;

		if (!world.records[world.fds[i].object].data)
			ret = world_save_one(&world.fds[i]);
		if (ret < 0)
			return ret;
	}
	return 0;
}

int world_capture(const struct ckpt_saver *saver)
{
	struct ckpt_record record = {NULL, 0};
	int ret = saver->capture(&record);

	free(record.data);
	return ret;
}

/* ---- ckpt_restart ---- */

int ckpt_object_fd(struct ckpt_restore *r, uint32_t object)
{
	(void)r;
	return world.made[object];
}

int ckpt_object_is_common(struct ckpt_restore *r, uint32_t id)
{
	return 0 * (!r + id);
}

int ckpt_old_fd(struct ckpt_restore *r, int fd)
{
	size_t i;

	(void)r;
	for (i = 0; i < world.count; i++)
		if (world.fds[i].fd == fd)
			return fcntl(fd, F_GETFD) < 0 ? -1 : fd;
	return -1;
}

static struct ckpt_object world_object(uint32_t id);

/* As of one process, that is the only one: nothing is shared. */
const struct ckpt_object *ckpt_object_by_inode(struct ckpt_restore *r,
					       uint32_t kind, uint64_t ino,
					       const struct ckpt_object *after)
{
	static struct ckpt_object found[8];
	static unsigned next;
	uint32_t id;

	(void)r;
	for (id = after ? after->id + 1 : 1; id <= world.objects; id++) {
		struct ckpt_object object = world_object(id);

		if (object.kind != kind || (ino && object.ino != ino))
			continue;
		found[++next % 8] = object;
		return &found[next % 8];
	}
	return NULL;
}

const struct ckpt_object *ckpt_object_named(struct ckpt_restore *r,
					    const struct ckpt_object *object,
					    uint32_t id)
{
	static struct ckpt_object found;

	(void)r;
	(void)object;
	if (!id || id > world.objects)
		return NULL;
	found = world_object(id);
	return &found;
}

const struct ckpt_object *ckpt_object_record(struct ckpt_restore *r,
					     const struct ckpt_object *object,
					     size_t nth)
{
	(void)r;
	return nth ? NULL : object;
}

int ckpt_as(struct ckpt_restore *r, int pid, int (*call)(void *),
	    void *argument, size_t size)
{
	(void)r;
	(void)pid;
	(void)size;
	return call(argument);
}

void ckpt_bond(struct ckpt_bonds *bonds, uint64_t what)
{
	(void)bonds;
	(void)what;
}

void ckpt_bond_object(struct ckpt_bonds *bonds, uint32_t id)
{
	(void)bonds;
	(void)id;
}

void ckpt_bond_same(struct ckpt_bonds *bonds, uint64_t what, int sure)
{
	(void)bonds;
	(void)what;
	(void)sure;
}

void ckpt_bond_terminal(struct ckpt_bonds *bonds, int session)
{
	(void)bonds;
	(void)session;
}

int ckpt_meet(struct ckpt_restore *r, struct ckpt_meeting *ends, size_t count)
{
	(void)r;
	(void)ends;
	return count ? -ENOTCONN : 0;
}

void ckpt_proof(struct ckpt_restore *r, const char *what,
		unsigned char proof[32])
{
	(void)r;
	(void)what;
	memset(proof, 0, 32);
}

int ckpt_group(struct ckpt_restore *r)
{
	(void)r;
	return 0;
}

const char *ckpt_host_address(struct ckpt_restore *r, size_t nth)
{
	(void)r;
	(void)nth;
	return NULL;
}

int ckpt_foreground(struct ckpt_restore *r)
{
	(void)r;
	return 1;
}

void ckpt_bond_commons(struct ckpt_bonds *bonds)
{
	(void)bonds;
}

int ckpt_open_file(struct ckpt_restore *r, const struct ckpt_object *object,
		   int flags)
{
	struct world_file *file = NULL;
	char path[64] = "/tmp/ckpt-test-XXXXXX";
	uint32_t i;
	int fd;

	(void)r;
	for (i = 0; i < world.file_count; i++)
		if (world.files[i].st.ino == object->ino &&
		    world.files[i].st.dev == object->dev)
			file = &world.files[i];
	if (!file)
		return -ENOENT;
	if (!(file->flags & FILE_DELETED)) {
		fd = open(file->path, flags);
		return fd < 0 ? -errno : fd;
	}
	if (file->fd < 0) {
		if (file->flags & FILE_SHM) {
			file->fd = (int)syscall(SYS_memfd_create,
						file->path + 7, 2);
		} else {
			file->fd = mkstemp(path);
			unlink(path);
		}
		if (write(file->fd, file->content, file->st.size) < 0)
			return -errno;
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file->fd);
	fd = open(path, flags);
	return fd < 0 ? -errno : fd;
}

int ckpt_standard_stream(struct ckpt_restore *r, int number)
{
	(void)r;
	return fcntl(number, F_DUPFD_CLOEXEC, 3);
}

void ckpt_report(struct ckpt_restore *r, const char *format, ...)
{
	size_t held = strlen(world.reports);
	va_list arguments;

	(void)r;
	va_start(arguments, format);
	vsnprintf(world.reports + held, sizeof(world.reports) - held - 1,
		  format, arguments);
	va_end(arguments);
	strcat(world.reports, "\n");
}

int ckpt_adopt(struct ckpt_restore *r, uint32_t object, int fd)
{
	(void)r;
	if (world.made[object] >= 0)
		return -EEXIST;
	world.made[object] = fd;
	return 0;
}

static struct ckpt_object world_object(uint32_t id)
{
	struct ckpt_object object = {
		.id = id,
		.kind = kinds[world.kind[id]].saver->kind,
		.body = world.records[id].data,
		.length = world.records[id].length,
		.label = "the object",
		.holders = 1,
		.pid = getpid(),
	};
	size_t i;

	for (i = world.count; i-- > 0;)
		if (world.fds[i].object == id) {
			object.status_flags = world.fds[i].status_flags;
			object.position = world.fds[i].position;
			object.first_fd = world.fds[i].fd;
			object.dev = world.fds[i].st.dev;
			object.ino = world.fds[i].st.ino;
		}
	return object;
}

void world_close(void)
{
	size_t i;

	for (i = 0; i < world.count; i++)
		close(world.fds[i].fd);
}

/* Made high up, then moved to the old numbers. */
static int world_open(uint32_t id)
{
	const struct ckpt_restorer *restorer = kinds[world.kind[id]].restorer;
	struct ckpt_object object = world_object(id);
	struct ckpt_restore r;
	int fd = world.made[id];

	if (fd < 0)
		fd = restorer->open(&r, &object);
	if (fd == -EALREADY)
		fd = world.made[id];
	if (fd < 0)
		return fd;
	world.made[id] = fcntl(fd, F_DUPFD_CLOEXEC, 500);
	close(fd);
	if (!restorer->no_position && !(object.status_flags & O_PATH))
		lseek(world.made[id], object.position, SEEK_SET);
	fcntl(world.made[id], F_SETFL, object.status_flags);
	return 0;
}

int world_restore(void)
{
	struct ckpt_restore r;
	uint32_t id;
	size_t i;
	int ret;

	world.reports[0] = 0;
	for (id = 1; id <= world.objects; id++)
		world.made[id] = -1;
	for (id = 1; id <= world.objects; id++)
		if ((ret = world_open(id)) < 0)
			return ret;
	for (i = 0; i < world.count; i++)
		if (dup3(world.made[world.fds[i].object], world.fds[i].fd,
			 world.cloexec[i] ? O_CLOEXEC : 0) < 0)
			return -errno;
	for (id = 1; id <= world.objects; id++) {
		close(world.made[id]);
		world.made[id] = world_object(id).first_fd;
	}
	for (id = 1; id <= world.objects; id++) {
		const struct ckpt_restorer *restorer =
			kinds[world.kind[id]].restorer;
		struct ckpt_object object = world_object(id);

		if (!restorer->connect)
			continue;
		ret = restorer->connect(&r, &object, world.made[id]);
		if (ret < 0)
			return ret;
	}
	for (id = 1; id <= world.objects; id++) {
		const struct ckpt_restorer *restorer =
			kinds[world.kind[id]].restorer;
		struct ckpt_object object = world_object(id);

		if (!restorer->hold)
			continue;
		ret = restorer->hold(&r, &object, world.made[id]);
		if (ret < 0)
			return ret;
	}
	return 0;
}

const char *world_refusal(void)
{
	return world.refusal;
}

const char *world_reports(void)
{
	return world.reports;
}

const char *world_show(int fd)
{
	size_t i;

	world.shown[0] = 0;
	for (i = 0; i < world.count; i++)
		if (world.fds[i].fd == fd) {
			uint32_t id = world.fds[i].object;
			struct ckpt_object object = world_object(id);

			kinds[world.kind[id]].restorer->show(
				&object, world.shown, sizeof(world.shown));
		}
	return world.shown;
}

void world_forget(void)
{
	size_t i;

	for (i = 0; i < world.count; i++) {
		free((void *)world.fds[i].target);
		free((void *)world.fds[i].fdinfo);
	}
	for (i = 0; i <= world.objects; i++)
		free(world.records[i].data);
	for (i = 0; i < world.file_count; i++) {
		free(world.files[i].content);
		if (world.files[i].fd >= 0)
			close(world.files[i].fd);
	}
	memset(&world, 0, sizeof(world));
}
