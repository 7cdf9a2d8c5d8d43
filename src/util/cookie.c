/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "util/cookie.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/paths.h"
#include "util/runtime.h"
#include "util/ssh.h"

int util_is_local(const char *host)
{
	return !strcmp(host, "localhost") || !strncmp(host, "127.", 4) ||
	       !strcmp(host, "::1");
}

void util_cookie_print(const unsigned char cookie[UTIL_COOKIE_BYTES],
		       char text[UTIL_COOKIE_DIGITS + 1])
{
	for (size_t i = 0; i < UTIL_COOKIE_BYTES; i++)
		sprintf(text + 2 * i, "%02x", cookie[i]);
}

int util_cookie_parse(const char *text, unsigned char cookie[UTIL_COOKIE_BYTES])
{
	unsigned byte;

	if (strlen(text) != UTIL_COOKIE_DIGITS ||
	    strspn(text, "0123456789abcdefABCDEF") != UTIL_COOKIE_DIGITS)
		return -EINVAL;
	for (size_t i = 0; i < UTIL_COOKIE_BYTES; i++) {
		sscanf(text + 2 * i, "%2x", &byte);
		cookie[i] = byte;
	}
	return 0;
}

static const char *given(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

/* 0: none is given. */
static int from_environment(unsigned char *cookie, char *err, size_t errsize)
{
	const char *text = given("CKPT_COOKIE");

	if (!text)
		return 0;
	if (util_cookie_parse(text, cookie) == 0)
		return 1;
	snprintf(err, errsize, "CKPT_COOKIE is not %d hexadecimal digits",
		 UTIL_COOKIE_DIGITS);
	return -EINVAL;
}

static int cookie_path(const char *host, int port, char *path, size_t size,
		       char *err, size_t errsize)
{
	const char *file = given("CKPT_COOKIE_FILE");
	char runtime[PATH_MAX], *slash;
	int ret, length;

	if (file) {
		ret = snprintf(path, size, "%s", file);
	} else {
		ret = util_runtime(runtime, sizeof(runtime), err, errsize);
		if (ret < 0)
			return ret;
		length = snprintf(path, size, "%s/coordinator-", runtime);
		if (length < 0 || (size_t)length >= size)
			return -ENAMETOOLONG;
		ret = snprintf(path + length, size - length, "%s%s%d.cookie",
			       util_is_local(host) ? "" : host,
			       util_is_local(host) ? "" : "-", port);
		for (slash = path + length; (slash = strchr(slash, '/'));)
			*slash = '_';
		ret += length;
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

int util_cookie_read(const char *host, int port,
		     unsigned char cookie[UTIL_COOKIE_BYTES], char *err,
		     size_t errsize)
{
	char path[PATH_MAX];
	int ret = from_environment(cookie, err, errsize);

	if (ret)
		return ret < 0 ? ret : 0;
	ret = cookie_path(host, port, path, sizeof(path), err, errsize);
	if (ret < 0)
		return ret;
	ret = read_cookie(path, cookie, err, errsize);
	if (ret != -ENOENT || util_is_local(host) || given("CKPT_COOKIE_FILE"))
		return ret;
	/* Perhaps it is this host, by its name. */
	ret = cookie_path("localhost", port, path, sizeof(path), err, errsize);
	return ret < 0 ? ret : read_cookie(path, cookie, err, errsize);
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
	int ret = cookie_path("localhost", port, path, sizeof(path), err,
			      errsize);
	int chosen = 0;

	if (ret == 0)
		ret = chosen = from_environment(cookie, err, errsize);
	if (ret < 0)
		return ret;
	if (chosen)
		unlink(path); /* the user's choice holds */
	ret = chosen ? -ENOENT : read_cookie(path, cookie, err, errsize);
	if (ret == -EINVAL) {
		/* A crash has left it short; nobody can be using it. */
		unlink(path);
		ret = -ENOENT;
	}
	if (ret != -ENOENT)
		return ret;
	if (!chosen &&
	    getrandom(cookie, UTIL_COOKIE_BYTES, 0) != UTIL_COOKIE_BYTES)
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

int util_cookie_keep(const char *host, int port,
		     const unsigned char cookie[UTIL_COOKIE_BYTES], char *err,
		     size_t errsize)
{
	unsigned char there[UTIL_COOKIE_BYTES];
	char path[PATH_MAX], why[256];
	int ret;

	if (given("CKPT_COOKIE_FILE"))
		return 0;
	ret = cookie_path(host, port, path, sizeof(path), err, errsize);
	if (ret < 0)
		return ret;
	if (read_cookie(path, there, why, sizeof(why)) == 0 &&
	    !memcmp(there, cookie, sizeof(there)))
		return 0;
	unlink(path);
	ret = write_cookie(path, cookie);
	if (ret == -EEXIST) /* somebody was faster, with the same */
		return 0;
	if (ret < 0)
		snprintf(err, errsize, "cannot write the cookie %s: %s", path,
			 strerror(-ret));
	return ret;
}

void util_cookie_forget(int port)
{
	char path[PATH_MAX], err[512];

	if (given("CKPT_COOKIE_FILE"))
		return; /* the user's */
	if (cookie_path("localhost", port, path, sizeof(path), err,
			sizeof(err)) == 0)
		unlink(path);
}

/* ---- by ssh ---- */

int util_cookie_fetch(const char *host, int port,
		      unsigned char cookie[UTIL_COOKIE_BYTES], char *err,
		      size_t errsize)
{
	const char *allowed = given("CKPT_COOKIE_SSH");
	char command[2 * PATH_MAX] = "", program[PATH_MAX], line[256];
	int ret;

	if (util_is_local(host) || (allowed && !strcmp(allowed, "0")))
		return -ENOENT;
	if (util_find_program("ckpt_command", program, sizeof(program)) < 0)
		strcpy(program, "ckpt_command");
	ret = util_ssh_quote(command, sizeof(command) - 64, program);
	if (ret < 0)
		return ret;
	sprintf(command + strlen(command), " --print-cookie -p %d", port);
	ret = util_ssh_ask(host, command, 1, NULL, line, sizeof(line));
	if (ret == 0)
		ret = util_cookie_parse(line, cookie);
	explicit_bzero(line, sizeof(line));
	if (ret) {
		snprintf(err, errsize,
			 "we have no cookie for the coordinator at %s:%d, and "
			 "ssh brings none from there; copy it, or name it by "
			 "CKPT_COOKIE_FILE (see ckpt_coordinator(1))",
			 host, port);
		return -EACCES;
	}
	return 0;
}
