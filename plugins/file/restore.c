/* SPDX-License-Identifier: MIT */
/*
 * file, restoring. Regular files come as the restart decided (rolled back,
 * from the store, as they are); the rest by path. Locks last, when nothing
 * closes a descriptor of theirs any more: any close drops the posix ones.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ckpt/plugin.h>

#include "plugins/file/format.h"

/* Flags that only open() can set; the core sets the others. */
#define FILE_OPEN_FLAGS                                                        \
	(O_ACCMODE | O_APPEND | O_DIRECT | O_DSYNC | O_SYNC | O_NONBLOCK |     \
	 O_NOATIME | O_PATH | O_DIRECTORY)

struct file_view {
	const struct file_record *record;
	const struct file_lock *locks;
	char path[PATH_MAX];
};

static int file_view(const struct ckpt_object *object, struct file_view *view)
{
	const struct file_record *record = object->body;
	size_t left = object->length;

	if (left < sizeof(*record))
		return -EBADMSG;
	left -= sizeof(*record);
	if (record->lock_count > left / sizeof(struct file_lock))
		return -EBADMSG;
	left -= record->lock_count * sizeof(struct file_lock);
	if (record->path_length > left || record->path_length >= PATH_MAX)
		return -EBADMSG;
	view->record = record;
	view->locks = (const struct file_lock *)(record + 1);
	memcpy(view->path, view->locks + record->lock_count,
	       record->path_length);
	view->path[record->path_length] = 0;
	return 0;
}

/* O_DIRECTORY is also a part of O_TMPFILE, which stays set in a file. */
static int file_flags(const struct ckpt_object *object,
		      const struct file_record *record)
{
	int flags = (int)(object->status_flags & FILE_OPEN_FLAGS) | O_CLOEXEC |
		    O_NOCTTY;

	if (record->type == FILE_IS_DIRECTORY || record->type == FILE_IS_PATH)
		return flags;
	return flags & ~O_DIRECTORY;
}

/* Its content is nobody's: a new one of the same fate. */
static int file_directory_deleted(int flags)
{
	char path[] = "/tmp/ckpt-removed-XXXXXX";
	int fd;

	if (!mkdtemp(path))
		return -errno;
	fd = open(path, flags);
	fd = fd < 0 ? -errno : fd;
	rmdir(path);
	return fd;
}

static int file_by_path(struct ckpt_restore *r, const struct ckpt_object *object,
			const struct file_view *view)
{
	int flags = file_flags(object, view->record);
	int is_gone = view->record->type == FILE_IS_PSEUDO &&
		      view->record->deleted;
	int fd = is_gone ? -1 : open(view->path, flags);

	if (is_gone)
		errno = ENOENT; /* another process may have its number */
	if (fd < 0 && errno == EPERM && (flags & O_NOATIME))
		fd = open(view->path, flags & ~O_NOATIME);
	if (fd >= 0)
		return fd;
	if (view->record->type != FILE_IS_PSEUDO) {
		ckpt_report(r, "%s: cannot open %s: %m; put it back and "
			       "restart again", object->label, view->path);
		return -errno;
	}
	/* What it told was of a process, a device ... that is no more. */
	ckpt_report(r, "%s: cannot open %s: %m; /dev/null stands for it",
		    object->label, view->path);
	fd = open("/dev/null", flags & (O_ACCMODE | O_CLOEXEC));
	return fd < 0 ? -errno : fd;
}

static int file_open(struct ckpt_restore *r, const struct ckpt_object *object)
{
	struct file_view view;
	int ret = file_view(object, &view);

	if (ret < 0)
		return ret;
	switch (view.record->type) {
	case FILE_IS_REGULAR:
	case FILE_IS_MEMFD:
		return ckpt_open_file(r, object,
				      file_flags(object, view.record));
	case FILE_IS_DIRECTORY:
		if (view.record->deleted)
			return file_directory_deleted(file_flags(object, view.record));
		return file_by_path(r, object, &view);
	case FILE_IS_DEVICE:
	case FILE_IS_PATH:
	case FILE_IS_PSEUDO:
		return file_by_path(r, object, &view);
	}
	return -EBADMSG;
}

static int file_lock(int fd, const struct file_lock *lock)
{
	struct flock range = {
		.l_type = lock->write ? F_WRLCK : F_RDLCK,
		.l_whence = SEEK_SET,
		.l_start = (off_t)lock->start,
		.l_len = (off_t)lock->length,
	};

	switch (lock->kind) {
	case FILE_LOCK_POSIX:
		return fcntl(fd, F_SETLK, &range);
	case FILE_LOCK_OFD:
		return fcntl(fd, F_OFD_SETLK, &range);
	case FILE_LOCK_FLOCK:
		return flock(fd, (lock->write ? LOCK_EX : LOCK_SH) | LOCK_NB);
	case FILE_LOCK_LEASE:
		return fcntl(fd, F_SETLEASE, (int)range.l_type);
	}
	errno = EINVAL;
	return -1;
}

/* Locks of the process, or those of the description. */
static void file_take_locks(struct ckpt_restore *r,
			    const struct ckpt_object *object,
			    const struct file_view *view, int fd, int posix)
{
	uint32_t i;

	for (i = 0; i < view->record->lock_count; i++) {
		if ((view->locks[i].kind == FILE_LOCK_POSIX) != posix)
			continue;
		if (file_lock(fd, &view->locks[i]) < 0)
			ckpt_report(r,
				    "%s: a lock on %s is not held any more: "
				    "%m; somebody else may have it",
				    object->label, view->path);
	}
}

static int file_connect(struct ckpt_restore *r, const struct ckpt_object *object,
			int fd)
{
	struct file_view view;
	int ret = file_view(object, &view);

	if (ret < 0)
		return ret;
	if (view.record->type == FILE_IS_MEMFD && view.record->seals &&
	    fcntl(fd, F_ADD_SEALS, view.record->seals) < 0 && errno != EPERM)
		ckpt_report(r, "%s: its seals cannot be set: %m", object->label);
	file_take_locks(r, object, &view, fd, 0);
	return 0;
}

static int file_hold(struct ckpt_restore *r, const struct ckpt_object *object,
		     int fd)
{
	struct file_view view;
	int ret = file_view(object, &view);

	if (ret == 0)
		file_take_locks(r, object, &view, fd, 1);
	return ret;
}

static void file_show(const struct ckpt_object *object, char *line, size_t size)
{
	static const char *const types[] = {
		"?",	 "file",	"directory", "device",
		"path",	 "pseudo file", "memfd",
	};
	struct file_view view;
	unsigned type;

	if (file_view(object, &view) < 0)
		return;
	type = view.record->type;
	snprintf(line, size, "%s %s%s, %u locks",
		 types[type < sizeof(types) / sizeof(*types) ? type : 0],
		 view.path, view.record->deleted ? " (deleted)" : "",
		 view.record->lock_count);
}

const struct ckpt_restorer file_restorer = {
	.kind = 90,
	.name = "file",
	.open = file_open,
	.connect = file_connect,
	.hold = file_hold,
	.show = file_show,
};
