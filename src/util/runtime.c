/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "util/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* sun_path, less "/COMPUTATION-GROUP/agent.sock" and its NUL. */
#define RUNTIME_MAX (108 - 1 - 16 - 1 - 10 - 1 - 10 - 1)

int util_private_dir(const char *path, char *err, size_t errsize)
{
	struct stat st;

	if (mkdir(path, 0700) < 0 && errno != EEXIST) {
		int ret = -errno;

		snprintf(err, errsize, "cannot make %s: %s", path,
			 strerror(-ret));
		return ret;
	}
	if (lstat(path, &st) < 0) {
		int ret = -errno;

		snprintf(err, errsize, "cannot look at %s: %s", path,
			 strerror(-ret));
		return ret;
	}
	if (S_ISLNK(st.st_mode)) {
		snprintf(err, errsize,
			 "%s is a symlink, which is not safe; "
			 "remove it",
			 path);
		return -ELOOP;
	}
	if (!S_ISDIR(st.st_mode)) {
		snprintf(err, errsize, "%s is not a directory; remove it",
			 path);
		return -ENOTDIR;
	}
	if (st.st_uid != geteuid()) {
		snprintf(err, errsize,
			 "%s belongs to uid %u, not to us (%u); "
			 "set XDG_RUNTIME_DIR to a directory of "
			 "your own",
			 path, st.st_uid, geteuid());
		return -EPERM;
	}
	if (st.st_mode & 077) {
		snprintf(err, errsize,
			 "%s is open to others (mode %04o); check "
			 "what is in it, then chmod 700 it",
			 path, st.st_mode & 07777);
		return -EPERM;
	}
	return 0;
}

/* $XDG_RUNTIME_DIR counts only while it is a directory of ours: after su it
 * still names somebody else's. */
static const char *xdg_runtime(void)
{
	const char *path = getenv("XDG_RUNTIME_DIR");
	struct stat st;

	if (!path || path[0] != '/' || stat(path, &st) < 0 ||
	    !S_ISDIR(st.st_mode) || st.st_uid != geteuid())
		return NULL;
	return path;
}

int util_runtime(char *path, size_t size, char *err, size_t errsize)
{
	const char *xdg = xdg_runtime();
	int length;

	if (xdg)
		length = snprintf(path, size, "%s/ckpt", xdg);
	else
		length = snprintf(path, size, "/tmp/ckpt-%u", geteuid());
	if (length < 0 || (size_t)length >= size || length > RUNTIME_MAX) {
		snprintf(err, errsize,
			 "XDG_RUNTIME_DIR (%s) is too long for a "
			 "socket address: at most %d bytes",
			 xdg, RUNTIME_MAX - 5);
		return -ENAMETOOLONG;
	}
	return util_private_dir(path, err, errsize);
}

int util_write_file(const char *path, const char *text)
{
	char temporary[PATH_MAX + 32];
	size_t length = strlen(text);
	int fd, ret = 0;

	if (snprintf(temporary, sizeof(temporary), "%s.%d.tmp", path,
		     (int)getpid()) >= (int)sizeof(temporary))
		return -ENAMETOOLONG;
	fd = open(temporary,
		  O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	errno = 0;
	if (write(fd, text, length) != (ssize_t)length)
		ret = errno ? -errno : -EIO;
	close(fd);
	if (!ret && rename(temporary, path) < 0)
		ret = -errno;
	if (ret < 0)
		unlink(temporary);
	return ret;
}

int util_read_line(const char *path, char *line, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, line, size - 1);
	close(fd);
	if (n < 0)
		return -errno;
	line[n] = '\0';
	line[strcspn(line, "\n")] = '\0';
	return 0;
}

static uint32_t mix(uint32_t hash, const void *bytes, size_t size)
{
	const unsigned char *at = bytes;

	for (; size--; at++)
		hash = (hash ^ *at) * 16777619u;
	return hash;
}

unsigned long util_host_group(void)
{
	static const char *const names[] = {"/proc/self/ns/pid",
					    "/proc/self/ns/uts"};
	uint32_t hash = 2166136261u;
	char boot[64] = "";
	struct stat st;

	/* The first namespaces bear the same numbers on every host. */
	util_read_line("/proc/sys/kernel/random/boot_id", boot, sizeof(boot));
	hash = mix(hash, boot, strlen(boot));
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (stat(names[i], &st) == 0)
			hash = mix(hash, &st.st_ino, sizeof(st.st_ino));
	return hash;
}
