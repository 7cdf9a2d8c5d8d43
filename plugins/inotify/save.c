/* SPDX-License-Identifier: MIT */
/*
 * inotify, saving. Kept: the watches with their numbers. Not kept: events
 * that have not been read; they cannot be looked at.
 *
 * The kernel knows the inode of a watch, not the path it was given. That has
 * been noted (wrap/watches.c), if it came through libc; else it is found by
 * the handle that fdinfo tells (needs a privilege), or among the descriptors
 * and the working directory and what is above them.
 */
#define _GNU_SOURCE
#include <asm/ioctls.h>
#include <errno.h>
#include <linux/stat.h>

#include <ckpt/plugin.h>

#include "plugins/fdinfo.h"
#include "plugins/inotify/format.h"
#include "sys/sys.h"

#define INOTIFY_HANDLE 128

static int inotify_matches(const struct ckpt_fd *fd)
{
	return sys_equal(fd->target, "anon_inode:inotify");
}

/* As fdinfo writes a device: major and minor of the kernel's own. */
static int inotify_is(const char *path, const struct inotify_watch *watch)
{
	struct statx st;

	if (SYS_CALL(SYS_statx, AT_FDCWD, path, 0, STATX_BASIC_STATS, &st) < 0)
		return 0;
	return st.stx_ino == watch->ino &&
	       ((uint64_t)st.stx_dev_major << 20 | st.stx_dev_minor) ==
		       watch->dev;
}

static int inotify_link(int fd, char *path, size_t size)
{
	char name[48];
	struct sys_text text;
	long length;

	sys_text_open(&text, name, sizeof(name));
	sys_text_put(&text, "/proc/thread-self/fd/");
	sys_text_number(&text, (uint64_t)fd, 10);
	length = sys_readlinkat(AT_FDCWD, name, path, size - 1);
	path[length < 0 ? 0 : length] = 0;
	return length < 0 ? (int)length : 0;
}

/* "fhandle-bytes:8 fhandle-type:1 f_handle:1ac5030000000000" */
static int inotify_by_handle(const char *line, int mount, char *path,
			     size_t size)
{
	struct {
		uint32_t bytes;
		int32_t type;
		unsigned char data[INOTIFY_HANDLE];
	} handle = {0};
	const char *at = sys_find(line, "fhandle-bytes:");
	uint32_t i;
	long fd;
	int ret;

	if (!at)
		return -ENOENT;
	at += 14;
	handle.bytes = (uint32_t)sys_number(&at, 16);
	at = sys_find(line, "fhandle-type:");
	if (!at || handle.bytes > INOTIFY_HANDLE)
		return -ENOENT;
	at += 13;
	handle.type = (int32_t)sys_number(&at, 16);
	at = sys_find(line, "f_handle:");
	if (!at)
		return -ENOENT;
	at += 9;
	for (i = 0; i < handle.bytes; i++) {
		char two[3] = {at[2 * i], at[2 * i] ? at[2 * i + 1] : 0, 0};
		const char *digits = two;

		handle.data[i] = (unsigned char)sys_number(&digits, 16);
	}
	fd = SYS_CALL(SYS_open_by_handle_at, mount, &handle,
		      O_PATH | O_CLOEXEC);
	if (fd < 0)
		return (int)fd;
	ret = inotify_link((int)fd, path, size);
	sys_close((int)fd);
	return ret;
}

/* A path and all that is above it. */
static int inotify_upwards(const struct inotify_watch *watch, char *path)
{
	size_t length = sys_strlen(path);

	if (*path != '/')
		return 0;
	for (;;) {
		if (inotify_is(path, watch))
			return 1;
		while (length > 1 && path[--length] != '/')
			;
		if (length == 0 || (length == 1 && path[1] == 0))
			return 0;
		path[length > 1 ? length : 1] = 0;
		if (length <= 1)
			length = 1;
	}
}

static int inotify_find(const char *line, const struct inotify_watch *watch,
			char *path, size_t size)
{
	static const char *const mounts[] = {"/", ".", "/tmp", "/home", "/dev",
					     "/run", "/var", "/dev/shm"};
	const char *noted;
	size_t i;

	for (i = 0; (noted = ckpt_watched(watch->dev, watch->ino, (uint32_t)i)); i++) {
		size_t length = sys_strlen(noted);

		if (length >= size || !inotify_is(noted, watch))
			continue;
		__builtin_memcpy(path, noted, length + 1);
		return 1;
	}

	for (i = 0; i < sizeof(mounts) / sizeof(*mounts); i++) {
		long mount = sys_openat(AT_FDCWD, mounts[i],
					O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
		int ret;

		if (mount < 0)
			continue;
		ret = inotify_by_handle(line, (int)mount, path, size);
		sys_close((int)mount);
		if (ret == 0 && inotify_is(path, watch))
			return 1;
	}
	for (i = 0; i < sizeof(mounts) / sizeof(*mounts); i++) {
		struct sys_text text;

		sys_text_open(&text, path, size);
		sys_text_put(&text, mounts[i]);
		if (*mounts[i] == '/' && inotify_is(path, watch))
			return 1;
	}
	for (i = 0; i < ckpt_fd_count(); i++) {
		struct sys_text text;

		sys_text_open(&text, path, size);
		sys_text_put(&text, ckpt_fd_at(i)->target);
		if (inotify_upwards(watch, path))
			return 1;
	}
	i = (size_t)sys_readlinkat(AT_FDCWD, "/proc/self/cwd", path, size - 1);
	path[(long)i < 0 ? 0 : i] = 0;
	return inotify_upwards(watch, path);
}

/* "inotify wd:1 ino:3c51a sdev:fe00000 mask:100 ignored_mask:0 fhandle-..." */
static int inotify_parse(const char *line, struct inotify_watch *watch)
{
	static const char *const keys[] = {"wd:", "ino:", "sdev:", "mask:"};
	uint64_t values[4];
	int i;

	for (i = 0; i < 4; i++) {
		const char *at = sys_find(line, keys[i]);

		if (!at)
			return -EBADMSG;
		at += sys_strlen(keys[i]);
		values[i] = sys_number(&at, 16);
	}
	watch->wd = (int32_t)values[0];
	watch->ino = values[1];
	watch->dev = values[2];
	watch->mask = (uint32_t)values[3];
	return 0;
}

/* The next "inotify wd:..." line at or behind text, or NULL. */
static const char *inotify_line(const char *text)
{
	return sys_find(text, "inotify wd:");
}

static int inotify_save(const struct ckpt_fd *fd, struct ckpt_record *out)
{
	static char path[4096];
	struct inotify_record record = {0};
	const char *line;
	int unread = 0;

	sys_ioctl(fd->fd, FIONREAD, &unread);
	record.unread = (uint32_t)unread;
	for (line = inotify_line(fd->fdinfo); line;
	     line = inotify_line(line + 1))
		record.count++;
	ckpt_put(out, &record, sizeof(record));
	for (line = inotify_line(fd->fdinfo); line;
	     line = inotify_line(line + 1)) {
		struct inotify_watch watch = {0};
		int ret = inotify_parse(line, &watch);

		if (ret < 0)
			return ret;
		if (!inotify_find(line, &watch, path, sizeof(path)))
			return ckpt_refuse(-EOPNOTSUPP, fd->target,
					   ": the path of a watch is not "
					   "known; only root can find it",
					   NULL);
		watch.path_length = (uint32_t)sys_strlen(path);
		ckpt_put(out, &watch, sizeof(watch));
		ckpt_put(out, path, watch.path_length);
	}
	return 0;
}

const struct ckpt_saver inotify_saver = {
	.kind = 76,
	.name = "inotify",
	.matches = inotify_matches,
	.save = inotify_save,
};
