/* SPDX-License-Identifier: MIT */
/*
 * Files that mappings and descriptors refer to: one IMAGE_FILE record each,
 * and their way to the agent, which puts them into the store.
 *
 * Editing: the records are written last (files_records), because a later user
 * of the same file may add flags.
 */
#define _GNU_SOURCE
#include <sys/stat.h>

#include "preload/frozen/frozen.h"

#define FILES_MAX 16384u

int files_stat(int fd, struct ckpt_stat *st)
{
	struct stat s;
	long ret = SYS_CALL(SYS_fstat, fd, &s);

	if (ret < 0)
		return (int)ret;
	*st = (struct ckpt_stat){
		.dev = s.st_dev,
		.ino = s.st_ino,
		.rdev = s.st_rdev,
		.size = (uint64_t)s.st_size,
		.nlink = s.st_nlink,
		.mode = s.st_mode,
		.uid = s.st_uid,
		.gid = s.st_gid,
		.mtime = s.st_mtim.tv_sec * 1000000000ll + s.st_mtim.tv_nsec,
	};
	return 0;
}

static struct frozen_file *find(uint64_t dev, uint64_t ino)
{
	uint32_t i;

	for (i = 0; i < frozen.file_count; i++)
		if (frozen.files[i].record.ino == ino &&
		    frozen.files[i].record.dev == dev)
			return &frozen.files[i];
	return NULL;
}

struct frozen_file *files_note(const struct ckpt_stat *st, const char *path,
			       size_t length, uint32_t flags)
{
	struct frozen_file *file = find(st->dev, st->ino);

	if (file) {
		file->record.flags |= flags;
		return file;
	}
	if (!frozen.files) {
		frozen.files = frozen_alloc(FILES_MAX * sizeof(*file));
		if (!frozen.files)
			return NULL;
	}
	if (frozen.file_count == FILES_MAX) {
		frozen_fail(-ENFILE, "more than ", NUMBER(FILES_MAX),
			    " different files are in use", NULL);
		return NULL;
	}
	file = &frozen.files[frozen.file_count];
	file->path = frozen_keep(path, length);
	if (!file->path)
		return NULL;
	file->record = (struct image_file){
		.id = ++frozen.file_count,
		.flags = flags,
		.dev = st->dev,
		.ino = st->ino,
		.size = st->size,
		.mtime = st->mtime,
		.mode = st->mode,
		.uid = st->uid,
		.gid = st->gid,
		.path_length = (uint32_t)length,
	};
	return file;
}

int files_send(struct frozen_file *file, int fd, uint32_t how)
{
	struct service_message m = {0};
	int ret;

	file->record.flags |= FILE_STORED;
	if (file->sent > how)
		return 0;
	m.file = (struct service_file){
		.dev = file->record.dev,
		.ino = file->record.ino,
		.size = file->record.size,
		.mtime = file->record.mtime,
		.how = how,
		.file = file->record.id,
	};
	ret = link_send(frozen.agent, &m, SERVICE_FILE, sizeof(m.file), fd);
	if (ret < 0)
		return frozen_fail(ret, "sending ", file->path, ": ",
				   frozen_strerror(ret), NULL);
	file->sent = how + 1;
	return 0;
}

/* A descriptor that can be read, and has an offset of its own. */
static long readable(int fd)
{
	char path[48];
	struct sys_text text;

	sys_text_open(&text, path, sizeof(path));
	sys_text_put(&text, "/proc/thread-self/fd/");
	sys_text_number(&text, (uint64_t)fd, 10);
	return sys_openat(AT_FDCWD, path,
			  O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0);
}

int ckpt_store_file(const struct ckpt_fd *fd, uint32_t file_flags, int now)
{
	size_t length = sys_strlen(fd->target);
	struct frozen_file *file;
	long copy;
	int ret;

	file = files_note(&fd->st, fd->target, procfs_deleted(fd->target, length),
			  file_flags);
	if (!file)
		return frozen.error;
	frozen.stored_file = file->record.id;
	if (now < 0)
		return (int)file->record.id;
	/* Without rollback a file that has a name stays as it will be. */
	if (now && !frozen.begin.rollback &&
	    !(file_flags & (FILE_DELETED | FILE_SHM)))
		return (int)file->record.id;
	copy = readable(fd->fd);
	/* Root's agent opens it once more by itself. */
	if (copy == -EACCES && preload.registry->other_users[0])
		copy = sys_fcntl(fd->fd, F_DUPFD_CLOEXEC, 0);
	if (copy < 0) {
		/* Write-only, and we may not read it: its name will have to
		 * do. What has none is lost, so that is no checkpoint. */
		if (file_flags & (FILE_DELETED | FILE_SHM))
			return frozen_fail((int)copy, "fd ", NUMBER(fd->fd),
					   " (", fd->target, "): cannot read "
					   "it, and it has no name any more",
					   NULL);
		return (int)file->record.id;
	}
	ret = files_send(file, (int)copy,
			 now ? SERVICE_FILE_NOW : SERVICE_FILE_LATER);
	sys_close((int)copy);
	return ret < 0 ? ret : (int)file->record.id;
}

void files_records(void)
{
	uint32_t i;

	for (i = 0; i < frozen.file_count; i++) {
		const struct frozen_file *file = &frozen.files[i];

		image_record_begin(frozen.writer, IMAGE_FILE, 1);
		image_record_put(frozen.writer, &file->record,
				 sizeof(file->record));
		image_record_put(frozen.writer, file->path,
				 file->record.path_length);
		image_record_end(frozen.writer);
	}
}
