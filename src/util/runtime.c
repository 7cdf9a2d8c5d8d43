/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "util/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
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

static int cookie_path(int port, char *path, size_t size, char *err,
		       size_t errsize)
{
	const char *given = getenv("CKPT_COOKIE_FILE");
	char runtime[PATH_MAX];
	int ret;

	if (given && *given) {
		ret = snprintf(path, size, "%s", given);
	} else {
		ret = util_runtime(runtime, sizeof(runtime), err, errsize);
		if (ret < 0)
			return ret;
		ret = snprintf(path, size, "%s/coordinator-%d.cookie", runtime,
			       port);
	}
	if (ret < 0 || (size_t)ret >= size) {
		snprintf(err, errsize, "the path of the cookie is too long");
		return -ENAMETOOLONG;
	}
	return 0;
}

/* Nobody else may have been able to read or to write it. */
static int check_cookie(int fd, const char *path, char *err, size_t errsize)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() ||
	    (st.st_mode & 077)) {
		snprintf(err, errsize,
			 "the cookie %s is not a file of ours with "
			 "mode 0600; remove it",
			 path);
		return -EPERM;
	}
	return 0;
}

static int read_cookie(const char *path, unsigned char *cookie, char *err,
		       size_t errsize)
{
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	ssize_t n;
	int ret;

	if (fd < 0) {
		ret = -errno;
		snprintf(err, errsize, "cannot read the cookie %s: %s", path,
			 strerror(-ret));
		return ret;
	}
	ret = check_cookie(fd, path, err, errsize);
	if (ret < 0)
		goto out;
	n = read(fd, cookie, UTIL_COOKIE_BYTES);
	if (n != UTIL_COOKIE_BYTES) {
		ret = -EINVAL;
		snprintf(err, errsize, "the cookie %s is damaged; remove it",
			 path);
	}
out:
	close(fd);
	return ret;
}

int util_cookie_read(int port, unsigned char cookie[UTIL_COOKIE_BYTES],
		     char *err, size_t errsize)
{
	char path[PATH_MAX];
	int ret = cookie_path(port, path, sizeof(path), err, errsize);

	if (ret < 0)
		return ret;
	return read_cookie(path, cookie, err, errsize);
}

/* Whole or not at all, and never over one that is there: link() refuses. */
static int write_cookie(const char *path, const unsigned char *cookie)
{
	char temporary[PATH_MAX + 32];
	int fd, ret = 0;

	snprintf(temporary, sizeof(temporary), "%s.%d", path, (int)getpid());
	fd = open(temporary,
		  O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	if (write(fd, cookie, UTIL_COOKIE_BYTES) != UTIL_COOKIE_BYTES)
		ret = errno ? -errno : -EIO;
	if (!ret && link(temporary, path) < 0)
		ret = -errno;
	unlink(temporary);
	close(fd);
	return ret;
}

int util_cookie_make(int port, unsigned char cookie[UTIL_COOKIE_BYTES],
		     char *err, size_t errsize)
{
	char path[PATH_MAX];
	int ret = cookie_path(port, path, sizeof(path), err, errsize);

	if (ret < 0)
		return ret;
	ret = read_cookie(path, cookie, err, errsize);
	if (ret == -EINVAL) {
		/* A crash has left it short; nobody can be using it. */
		unlink(path);
		ret = -ENOENT;
	}
	if (ret != -ENOENT)
		return ret;
	if (getrandom(cookie, UTIL_COOKIE_BYTES, 0) != UTIL_COOKIE_BYTES)
		ret = -EIO;
	else
		ret = write_cookie(path, cookie);
	if (ret == -EEXIST) /* somebody was faster: theirs holds */
		return read_cookie(path, cookie, err, errsize);
	if (ret < 0)
		snprintf(err, errsize, "cannot write the cookie %s: %s", path,
			 strerror(-ret));
	return ret;
}

void util_cookie_forget(int port)
{
	char path[PATH_MAX], err[512];
	const char *given = getenv("CKPT_COOKIE_FILE");

	if (given && *given)
		return; /* the user's */
	if (cookie_path(port, path, sizeof(path), err, sizeof(err)) == 0)
		unlink(path);
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

unsigned long util_pid_namespace(void)
{
	struct stat st;

	return stat("/proc/self/ns/pid", &st) < 0 ? 0 : st.st_ino;
}
