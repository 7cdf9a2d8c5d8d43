/* SPDX-License-Identifier: MIT */
/*
 * See files.h. The rules:
 *
 * - A private mapping needs the very content it had: the file at the path if
 *   it is the same one (size, mtime, and inode or hash), else the store's.
 * - Files that were open for writing (FILE_CONTENT) get their content back;
 *   what is there now is renamed, never overwritten: somebody may still write
 *   to it, for example the same job running on.
 * - Files that were only read are opened as they are now; the store stands in
 *   when they are gone.
 * - A nameless file comes back nameless, with its content.
 */
#define _GNU_SOURCE
#include "restart/files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "restart/say.h"

#define COPY_CHUNK (1u << 20)

/* What files_apply() did, newest first, for files_undo(). */
struct change {
	struct change *next;
	char *path;	 /* a file, or a folder that was missing */
	char *displaced; /* renamed away from path, or NULL */
};
static struct change *changes;

static _Noreturn void no_memory(void)
{
	fail("out of memory while looking at the program's files");
}

static int is_regular(const struct job_file *file)
{
	return S_ISREG(file->record->mode);
}

static int64_t mtime_of(const struct stat *st)
{
	return (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
}

/* ---- the same content? ---- */

/* XXH3-128 as in store/: 32 hex digits. 0 or -errno. */
static int hash_fd(int fd, char *text, size_t size)
{
	unsigned char *buffer = malloc(COPY_CHUNK);
	XXH3_state_t *state = XXH3_createState();
	XXH128_canonical_t canonical;
	ssize_t got = 0;
	off_t at = 0;
	size_t i;
	int ret = 0;

	if (!buffer || !state) {
		ret = -ENOMEM;
		goto out;
	}
	XXH3_128bits_reset(state);
	while ((got = pread(fd, buffer, COPY_CHUNK, at)) > 0) {
		XXH3_128bits_update(state, buffer, (size_t)got);
		at += got;
	}
	if (got < 0) {
		ret = -errno;
		goto out;
	}
	XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(state));
	for (i = 0; i < sizeof(canonical.digest) && 2 * i + 2 < size; i++)
		sprintf(text + 2 * i, "%02x", canonical.digest[i]);
out:
	XXH3_freeState(state);
	free(buffer);
	return ret;
}

static const char *store_hash(const struct job_file *file)
{
	return strrchr(file->store, '/') + 1;
}

/* The content at the path is that in the store. */
static int content_same(const struct job_file *file, const struct stat *st)
{
	char text[40] = "";
	int fd, ret;

	if (!file->store || (uint64_t)st->st_size != file->record->size)
		return 0;
	fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return 0;
	ret = hash_fd(fd, text, sizeof(text));
	close(fd);
	return ret == 0 && strcmp(text, store_hash(file)) == 0;
}

/* The file at the path has not been touched since the checkpoint. A change
 * within the last clock tick before it may not show in the mtime; a second's
 * distance is enough. One through a shared mapping shows late, or never. */
static int untouched(const struct job *job, const struct job_file *file,
		     const struct stat *st, int was_written)
{
	uint64_t then = job_root(job)->process->realtime;

	if ((uint64_t)st->st_size != file->record->size ||
	    mtime_of(st) != file->record->mtime)
		return 0;
	if (was_written)
		return !file->is_shared &&
		       (uint64_t)st->st_ino == file->record->ino &&
		       file->record->mtime + 1000000000 < (int64_t)then;
	return 1;
}

/* ---- deciding ---- */

static void unavailable(struct job_file *file, enum file_state *state,
			const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void unavailable(struct job_file *file, enum file_state *state,
			const char *format, ...)
{
	va_list ap;

	*state = FILE_UNAVAILABLE;
	va_start(ap, format);
	vsnprintf(file->why, sizeof(file->why), format, ap);
	va_end(ap);
}

static void decide_mapped(const struct job *job, struct job_file *file)
{
	struct stat st;
	int there = !(file->record->flags & FILE_DELETED) &&
		    stat(file->path, &st) == 0 && S_ISREG(st.st_mode) &&
		    access(file->path, R_OK) == 0;

	/* Nameless before, nameless again; but where we could make it, nothing
	 * may be executable. */
	if ((file->record->flags & FILE_DELETED) && file->store &&
	    !file->is_executed)
		file->mapped = FILE_HELD;
	else if (there && untouched(job, file, &st, 0) &&
	    ((uint64_t)st.st_ino == file->record->ino || !file->store))
		file->mapped = FILE_IN_PLACE;
	else if (there && content_same(file, &st))
		file->mapped = FILE_IN_PLACE;
	else if (file->store)
		file->mapped = FILE_FROM_STORE;
	else if (there)
		unavailable(file, &file->mapped,
			    "%s has changed since the checkpoint, and the checkpoint holds no copy of it: put the old version back",
			    file->path);
	else
		unavailable(file, &file->mapped,
			    "%s is gone, and the checkpoint holds no copy of it: put it back",
			    file->path);
}

/* FILE_CONTENT and --files rollback. */
static void decide_rollback(const struct job *job, struct job_file *file)
{
	struct stat st;
	int there = lstat(file->path, &st) == 0;

	file->opened = FILE_IN_PLACE;
	if (there && S_ISLNK(st.st_mode)) {
		char *target = realpath(file->path, NULL);

		/* The link stays; what it leads to is rolled back. */
		if (target) {
			free(file->path);
			file->path = target;
			there = stat(target, &st) == 0;
		}
	}
	if (there && !S_ISREG(st.st_mode)) {
		unavailable(file, &file->opened,
			    "%s was a file and is none now: move it away",
			    file->path);
		return;
	}
	if (there && untouched(job, file, &st, 1))
		return;
	if (there && content_same(file, &st))
		return;
	if (!file->store &&
	    !((file->record->flags & FILE_APPEND_ONLY) && there &&
	      (uint64_t)st.st_size >= file->record->size)) {
		unavailable(file, &file->opened,
			    "%s has changed since the checkpoint, which holds no copy of it: use --files reopen to go on with it as it is",
			    file->path);
		return;
	}
	file->displaced = 1;
}

static void decide_opened(const struct job *job, struct job_file *file)
{
	struct stat st;
	int there = stat(file->path, &st) == 0;

	if (file->record->flags & FILE_SHM) {
		file->opened = FILE_HELD;
		return;
	}
	if (!is_regular(file)) {
		file->opened = FILE_IN_PLACE;
		if (!there)
			unavailable(file, &file->opened,
				    "%s is gone: put it back", file->path);
		return;
	}
	if (file->record->flags & FILE_DELETED) {
		file->opened = FILE_HELD;
		if (!file->store && file->record->size)
			unavailable(file, &file->opened,
				    "%s had been unlinked, and the checkpoint holds no copy of it",
				    file->path);
		return;
	}
	if ((file->record->flags & FILE_CONTENT) && !job->options->reopen) {
		decide_rollback(job, file);
		return;
	}
	file->opened = FILE_IN_PLACE;
	if (!there && file->store) {
		if (file->record->flags & FILE_CONTENT)
			file->displaced = 1; /* make it anew */
		else
			file->opened = FILE_FROM_STORE;
	} else if (!there) {
		unavailable(file, &file->opened,
			    "%s is gone, and the checkpoint holds no copy of it: put it back",
			    file->path);
	} else if ((uint64_t)st.st_size < file->record->size &&
		   !(file->record->flags & FILE_CONTENT)) {
		report("%s is shorter than at the checkpoint; the program reads it as it is now",
		       file->path);
	}
}

void files_decide(struct job *job)
{
	const char *store;
	size_t i;

	for (i = 0; i < job->file_count; i++) {
		struct job_file *file = job->files[i];

		store = manifest_store_name(job, file->record);
		if (store && asprintf(&file->store, "%s/store/%s",
				      job->computation_dir, store) < 0)
			no_memory();
		if (file->store && access(file->store, R_OK) < 0) {
			free(file->store);
			file->store = NULL;
		}
		if (file->is_mapped || file->is_exe)
			decide_mapped(job, file);
		if (file->is_opened)
			decide_opened(job, file);
		/* Without its program file only the exe link is wrong. */
		if (file->is_mapped && file->mapped == FILE_UNAVAILABLE)
			fail("%s", file->why);
		if (file->is_opened && file->opened == FILE_UNAVAILABLE)
			fail("%s", file->why);
	}
}

/* ---- applying ---- */

static int copy_content(int from, int to, uint64_t size)
{
	uint64_t left = size;
	char *buffer;
	ssize_t got;
	int ret = 0;

	if (ioctl(to, FICLONE, from) == 0)
		return ftruncate(to, (off_t)size) < 0 ? -errno : 0;
	while (left && (got = copy_file_range(from, NULL, to, NULL, left, 0)) >
			       0)
		left -= (uint64_t)got;
	if (!left)
		return 0;
	/* Between file systems, or where the kernel cannot. */
	buffer = malloc(COPY_CHUNK);
	if (!buffer)
		return -ENOMEM;
	while (left && !ret) {
		got = read(from, buffer,
			   left < COPY_CHUNK ? left : COPY_CHUNK);
		if (got < 0)
			ret = -errno;
		else if (!got)
			break;
		else if (write(to, buffer, (size_t)got) != got)
			ret = errno ? -errno : -ENOSPC;
		else
			left -= (uint64_t)got;
	}
	free(buffer);
	return ret;
}

static int open_source(const struct job_file *file)
{
	const char *path = file->store ? file->store : file->path;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		fail("%s: %s", path, strerror(errno));
	return fd;
}

/* Content, owner, mode and time of the checkpoint into a new, empty file. */
static int fill(const struct job_file *file, int to)
{
	const struct image_file *record = file->record;
	struct timespec times[2] = {
		{.tv_nsec = UTIME_OMIT},
		{.tv_sec = record->mtime / 1000000000,
		 .tv_nsec = record->mtime % 1000000000},
	};
	int from, ret = 0;

	if (record->size) {
		from = open_source(file);
		ret = copy_content(from, to, record->size);
		close(from);
	}
	if (ret == 0 && ftruncate(to, (off_t)record->size) < 0)
		ret = -errno;
	if (ret < 0)
		return ret;
	/* Both may be beyond us, and the file is usable all the same. */
	if (fchown(to, record->uid, record->gid) < 0)
		report("%s now belongs to you", file->path);
	if (fchmod(to, record->mode & 07777) < 0)
		report("%s: its mode could not be set", file->path);
	futimens(to, times);
	return 0;
}

static void remember(const char *path, const char *displaced)
{
	struct change *change = calloc(1, sizeof(*change));

	if (!change)
		no_memory();
	change->path = strdup(path);
	change->displaced = displaced ? strdup(displaced) : NULL;
	if (!change->path || (displaced && !change->displaced))
		no_memory();
	change->next = changes;
	changes = change;
}

/* path with tail, its own name cut where both together are too long. */
static char *name_beside(const char *path, const char *tail)
{
	const char *slash = strrchr(path, '/');
	size_t folder = slash ? (size_t)(slash + 1 - path) : 0;
	size_t room = NAME_MAX - strlen(tail);
	char *name;

	if (asprintf(&name, "%.*s%.*s%s", (int)folder, path, (int)room,
		     path + folder, tail) < 0)
		no_memory();
	return name;
}

static char *displaced_name(const struct job *job, const char *path)
{
	struct tm tm;
	time_t now = time(NULL);
	char stamp[32], tail[96], *name;
	unsigned n;

	localtime_r(&now, &tm);
	strftime(stamp, sizeof(stamp), "%Y%m%d-%H%M%S", &tm);
	for (n = 0;; n++) {
		char more[16] = "";

		if (n)
			snprintf(more, sizeof(more), ".%u", n);
		snprintf(tail, sizeof(tail), ".ckpt-displaced-%llu-%s%s",
			 (unsigned long long)job->generation, stamp, more);
		name = name_beside(path, tail);
		if (access(name, F_OK) < 0)
			return name;
		free(name);
	}
}

/* Beside its final place, so that the rename cannot fail half way. */
static int make_beside(const struct job_file *file, char *name, size_t size)
{
	char *made = name_beside(file->path, ".ckpt-XXXXXX");
	int fd = snprintf(name, size, "%s", made);

	free(made);
	if (fd >= (int)size)
		return -ENAMETOOLONG;
	fd = mkostemp(name, O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Folders that are gone, as on another machine: it needs them for a file. */
static int make_folders(const char *path)
{
	char folder[PATH_MAX], *slash = folder;
	int made = 0;

	if (snprintf(folder, sizeof(folder), "%s", path) >=
	    (int)sizeof(folder))
		return -ENAMETOOLONG;
	while ((slash = strchr(slash + 1, '/'))) {
		*slash = 0;
		if (mkdir(folder, 0700) == 0) {
			remember(folder, NULL);
			report("the folder %s was gone; it has been made again",
			       folder);
			made = 1;
		} else if (errno != EEXIST && access(folder, F_OK) < 0) {
			return -errno;
		}
		*slash = '/';
	}
	return made ? 0 : -ENOENT;
}

/* POSIX shared memory: what the former life wrote there is nobody's. */
static int is_memory(const char *path)
{
	return strncmp(path, "/dev/shm/", 9) == 0;
}

static void roll_back(const struct job *job, struct job_file *file)
{
	char name[PATH_MAX], *aside = NULL;
	int fd = make_beside(file, name, sizeof(name)), ret;

	if (fd == -ENOENT) {
		ret = make_folders(file->path);
		fd = ret < 0 ? ret : make_beside(file, name, sizeof(name));
	}
	if (fd < 0)
		fail("%s cannot be rolled back to its content at the checkpoint: cannot write beside it: %s; make its directory writable or use --files reopen",
		     file->path, strerror(-fd));
	ret = fill(file, fd);
	close(fd);
	if (ret < 0) {
		unlink(name);
		fail("%s cannot be rolled back to its content at the checkpoint: %s",
		     file->path, strerror(-ret));
	}
	if (access(file->path, F_OK) == 0) {
		aside = displaced_name(job, file->path);
		if (rename(file->path, aside) < 0) {
			ret = errno;
			unlink(name);
			fail("%s cannot be set aside as %s: %s; use --files reopen to go on with it as it is",
			     file->path, aside, strerror(ret));
		}
	}
	remember(file->path, aside);
	if (rename(name, file->path) < 0)
		fail("%s: %s", file->path, strerror(errno));
	if (aside && !is_memory(aside))
		report("%s is as it was at the checkpoint; what was there is now %s",
		       file->path, aside);
	else if (!aside)
		report("%s was gone; it is as it was at the checkpoint",
		       file->path);
	free(aside);
}

/* A file without a name: beside where it was, else where we may write. */
static int make_nameless(struct job_file *file)
{
	char name[PATH_MAX];
	int fd = open(file->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd >= 0) {
		unlink(file->path);
		return fd;
	}
	fd = make_beside(file, name, sizeof(name));
	if (fd < 0) {
		snprintf(name, sizeof(name), "%s/ckpt-XXXXXX",
			 getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
		fd = mkostemp(name, O_CLOEXEC);
	}
	if (fd < 0)
		return -errno;
	unlink(name);
	return fd;
}

/* "/memfd:NAME (deleted)" gives its name back; others had none. */
static int make_shared_memory(struct job_file *file)
{
	static const char prefix[] = "/memfd:";
	const char *name = "anonymous";
	int fd, from, ret = 0;

	if (strncmp(file->path, prefix, strlen(prefix)) == 0)
		name = file->path + strlen(prefix);
	fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	if (ftruncate(fd, (off_t)file->record->size) < 0)
		ret = -errno;
	if (ret == 0 && file->store) {
		from = open_source(file);
		ret = copy_content(from, fd, file->record->size);
		close(from);
	}
	if (ret == 0)
		return fd;
	close(fd);
	return ret;
}

void files_apply(struct job *job)
{
	size_t i;
	int ret;

	for (i = 0; i < job->file_count; i++) {
		struct job_file *file = job->files[i];

		if (file->displaced)
			roll_back(job, file);
		if (file->opened != FILE_HELD && file->mapped != FILE_HELD)
			continue;
		file->fd = file->record->flags & FILE_SHM
				   ? make_shared_memory(file)
				   : make_nameless(file);
		ret = file->fd;
		if (ret >= 0 && !(file->record->flags & FILE_SHM))
			ret = fill(file, file->fd);
		if (ret < 0)
			fail("%s cannot be made again: %s", file->path,
			     strerror(-ret));
	}
}

void files_undo(void)
{
	struct change *change;

	for (; (change = changes); changes = change->next) {
		if (change->displaced)
			rename(change->displaced, change->path);
		else
			remove(change->path);
	}
}

void files_settle(void)
{
	const struct change *change;

	for (change = changes; change; change = change->next)
		if (change->displaced && is_memory(change->displaced))
			unlink(change->displaced);
}

/* ---- opening ---- */

static int reopen(int fd, int flags)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	fd = open(path, flags);
	return fd < 0 ? -errno : fd;
}

static int open_path(const char *path, int flags)
{
	int fd = open(path, flags);

	return fd < 0 ? -errno : fd;
}

int files_open_mapped(const struct job_file *file, int writable)
{
	int fd;

	if (file->fd >= 0) { /* held: shared memory or a nameless file */
		fd = fcntl(file->fd, F_DUPFD_CLOEXEC, 0);
		return fd < 0 ? -errno : fd;
	}
	if (writable) {
		fd = open_path(file->path, O_RDWR | O_CLOEXEC | O_NOCTTY);
		return fd < 0 ? open_path(file->path, O_RDONLY | O_CLOEXEC |
							      O_NOCTTY)
			      : fd;
	}
	return open_path(file->mapped == FILE_FROM_STORE ? file->store
							 : file->path,
			 O_RDONLY | O_CLOEXEC);
}

int files_open(const struct job_file *file, int flags)
{
	/* What made it then, O_TMPFILE included, would make another now. */
	flags &= ~(O_CREAT | O_EXCL | O_TRUNC |
		   (is_regular(file) ? O_TMPFILE : 0));
	flags |= O_CLOEXEC | O_NOCTTY;
	if (file->fd >= 0)
		return reopen(file->fd, flags);
	if (file->opened == FILE_FROM_STORE)
		return open_path(file->store, flags);
	return open_path(file->path, flags);
}

void files_cover(struct job *job)
{
	size_t i;

	for (i = 0; i < job->file_count; i++) {
		struct job_file *file = job->files[i];

		if (file->mapped != FILE_FROM_STORE)
			continue;
		/* Only what may be executed can be a process's exe link. */
		if (file->is_exe)
			chmod(file->store, 0700);
		if (!file->is_opened && !(file->record->flags & FILE_DELETED) &&
		    mount(file->store, file->path, NULL, MS_BIND, NULL) == 0)
			file->mapped = FILE_IN_PLACE;
	}
}
