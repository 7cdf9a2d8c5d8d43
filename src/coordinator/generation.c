/* SPDX-License-Identifier: MIT */
/*
 * The folders of generations on our side. Who holds the lock of a
 * computation's folder owns all in it that has no manifest.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "coordinator/coordinator.h"
#include "util/log.h"

int make_dirs(const char *path, mode_t mode)
{
	char part[PATH_MAX];
	char *slash;

	if (strlen(path) >= sizeof(part))
		return -ENAMETOOLONG;
	strcpy(part, path);
	for (slash = part + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		if (mkdir(part, 0777) < 0 && errno != EEXIST)
			return -errno;
		*slash = '/';
	}
	if (mkdir(part, mode) < 0 && errno != EEXIST)
		return -errno;
	return 0;
}

/* "gen-000007" to 7, anything else to 0. */
static int generation_number(const char *name)
{
	char *end;
	long number;

	if (strncmp(name, "gen-", 4) || strlen(name) < 10)
		return 0;
	number = strtol(name + 4, &end, 10);
	return *end || number < 1 || number > 999999999 ? 0 : number;
}

int generation_committed(const char *path)
{
	char manifest[PATH_MAX];

	if (snprintf(manifest, sizeof(manifest), "%s/manifest.json", path) >=
	    (int)sizeof(manifest))
		return 0;
	return access(manifest, F_OK) == 0;
}

/* Generations are flat. */
void generation_remove(const char *path)
{
	struct dirent *entry;
	DIR *dir = opendir(path);

	if (!dir)
		return;
	while ((entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			unlinkat(dirfd(dir), entry->d_name, 0);
	closedir(dir);
	if (rmdir(path) < 0 && errno != ENOENT)
		log_line("cannot remove %s: %s", path, strerror(errno));
}

int folder_newest(const char *folder)
{
	char path[PATH_MAX];
	struct dirent *entry;
	DIR *dir = opendir(folder);
	int newest = 0, number;

	if (!dir)
		return 0;
	while ((entry = readdir(dir))) {
		number = generation_number(entry->d_name);
		if (number <= newest ||
		    snprintf(path, sizeof(path), "%s/%s", folder,
			     entry->d_name) >= (int)sizeof(path))
			continue;
		if (generation_committed(path))
			newest = number;
	}
	closedir(dir);
	return newest;
}

static int lock_folder(char *err, size_t errsize)
{
	char path[PATH_MAX + 8];
	int fd, ret;

	snprintf(path, sizeof(path), "%s/lock", computation.folder);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0) {
		ret = -errno;
		snprintf(err, errsize, "cannot open %s: %s", path,
			 strerror(-ret));
		return ret;
	}
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		ret = errno == EWOULDBLOCK ? -EBUSY : -errno;
		snprintf(err, errsize, "cannot lock %s: %s", path,
			 ret == -EBUSY ? "another coordinator writes there"
				       : strerror(-ret));
		close(fd);
		return ret;
	}
	computation.lock_fd = fd;
	return 0;
}

/* The folder may have been removed under us: the lock of a file that is no
 * longer there protects nothing. */
static int lock_holds(void)
{
	char path[PATH_MAX + 8];
	struct stat held, there;

	if (computation.lock_fd < 0)
		return 0;
	snprintf(path, sizeof(path), "%s/lock", computation.folder);
	return fstat(computation.lock_fd, &held) == 0 &&
	       stat(path, &there) == 0 && held.st_ino == there.st_ino &&
	       held.st_dev == there.st_dev;
}

int folder_open(char *err, size_t errsize)
{
	struct stat st;
	int ret;

	if (lock_holds())
		return 0;
	folder_close();
	ret = make_dirs(computation.dir, 0777);
	if (!ret && mkdir(computation.folder, 0700) < 0 && errno != EEXIST)
		ret = -errno;
	if (!ret && lstat(computation.folder, &st) < 0)
		ret = -errno;
	if (ret < 0) {
		snprintf(err, errsize, "cannot make %s: %s", computation.folder,
			 strerror(-ret));
		return ret;
	}
	if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid()) {
		snprintf(err, errsize, "%s is not a directory of ours",
			 computation.folder);
		return -EPERM;
	}
	return lock_folder(err, errsize);
}

void folder_close(void)
{
	if (computation.lock_fd >= 0)
		close(computation.lock_fd);
	computation.lock_fd = -1;
}

int generation_make(char *path, size_t size, char *err, size_t errsize)
{
	struct dirent *entry;
	int highest = computation.generation, number, ret;
	DIR *dir;

	ret = folder_open(err, errsize);
	if (ret < 0)
		return ret;
	dir = opendir(computation.folder);
	while (dir && (entry = readdir(dir))) {
		number = generation_number(entry->d_name);
		if (!number)
			continue;
		snprintf(path, size, "%s/%s", computation.folder,
			 entry->d_name);
		if (!generation_committed(path))
			generation_remove(path);
		if (number > highest && generation_committed(path))
			highest = number;
	}
	if (dir)
		closedir(dir);
	/* What could not be removed keeps its number. */
	do {
		snprintf(path, size, "%s/gen-%06d", computation.folder,
			 ++highest);
		ret = mkdir(path, 0700) < 0 ? -errno : 0;
	} while (ret == -EEXIST);
	if (ret < 0) {
		snprintf(err, errsize, "cannot make %s: %s", path,
			 strerror(-ret));
		return ret;
	}
	return highest;
}
