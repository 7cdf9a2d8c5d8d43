/* SPDX-License-Identifier: MIT */
/*
 * file, saving: regular files, directories, the harmless devices, O_PATH,
 * files of /proc and /sys, memfds. Asked last, so what nobody knows ends here
 * and is refused by name.
 *
 * Kept: path and identity, access, offset (the core's); content of files that
 * are open for writing or have no name any more, and of small ones that are
 * only read; locks (posix, OFD, flock) and leases; seals of a memfd.
 * Not kept: content of large files that are only read (found again by their
 * path), of block devices, the state of devices.
 */
#define _GNU_SOURCE
#include <asm/statfs.h>
#include <linux/magic.h>
#include <linux/stat.h>

#include <ckpt/plugin.h>

#include "image/format.h"
#include "plugins/fdinfo.h"
#include "plugins/file/format.h"
#include "sys/sys.h"

/* A file that is only read goes with the checkpoint up to this size. */
#define FILE_SMALL (16u << 20)
#define FILE_LOCKS_MAX 4096

#define DELETED " (deleted)"

static int file_matches(const struct ckpt_fd *fd)
{
	(void)fd;
	return 1;
}

static int file_refuse(const struct ckpt_fd *fd, const char *why)
{
	char number[24];
	struct sys_text text;

	sys_text_open(&text, number, sizeof(number));
	sys_text_number(&text, (uint64_t)fd->fd, 10);
	return ckpt_refuse(-EOPNOTSUPP, "fd ", number, " (", fd->target, "): ",
			   why, NULL);
}

/* What has no file behind it, and why it stops us. */
static const struct {
	const char *target, *why;
} file_unknown[] = {
	{"anon_inode:[io_uring]",
	 "an io_uring cannot be saved; the program has made it by itself, and "
	 "not through libc or liburing, where it would have been told that "
	 "there are none; it may run without one when kernel.io_uring_disabled "
	 "is 2"},
	{"anon_inode:bpf", "BPF objects cannot be saved"},
	{"anon_inode:[perf_event]", "a performance counter cannot be saved"},
	{"anon_inode:[fanotify]", "a fanotify group cannot be saved"},
	{"anon_inode:[userfaultfd]", "a userfaultfd cannot be saved"},
	{"anon_inode:kvm", "a virtual machine cannot be saved"},
	{"anon_inode:[landlock", "a landlock rule set cannot be saved"},
	{"anon_inode:seccomp", "a seccomp listener cannot be saved"},
	{"/dmabuf:", "memory of a device cannot be saved"},
	{"/secretmem", "secret memory cannot be saved"},
	{"net:[", "a network namespace cannot be saved"},
	{"mnt:[", "a mount namespace cannot be saved"},
	{"user:[", "a user namespace cannot be saved"},
	{"pid:[", "a pid namespace cannot be saved"},
	{"socket:[", "a socket of this family cannot be saved"},
};

static int file_refuse_unknown(const struct ckpt_fd *fd)
{
	size_t i;

	for (i = 0; i < sizeof(file_unknown) / sizeof(*file_unknown); i++)
		if (sys_starts(fd->target, file_unknown[i].target))
			return file_refuse(fd, file_unknown[i].why);
	return file_refuse(fd, "this kind of object cannot be saved");
}

static int file_writable(const struct ckpt_fd *fd)
{
	return (fd->status_flags & O_ACCMODE) != O_RDONLY &&
	       !(fd->status_flags & O_PATH);
}

/* Everybody who may write to it appends. */
static int file_append_only(const struct ckpt_fd *fd)
{
	const struct ckpt_fd *other = NULL;

	while ((other = ckpt_fd_by_inode(fd->st.dev, fd->st.ino, other)))
		if (file_writable(other) && !(other->status_flags & O_APPEND))
			return 0;
	return 1;
}

/* The name is gone, or leads to another file by now. A name may end in
 * " (deleted)" by itself: then it is there. */
static int file_deleted(const struct ckpt_fd *fd)
{
	size_t length = sys_strlen(fd->target), tail = sizeof(DELETED) - 1;

	if (fd->st.nlink == 0)
		return 1;
	return length > tail && sys_equal(fd->target + length - tail, DELETED) &&
	       SYS_CALL(SYS_faccessat, AT_FDCWD, fd->target, 0) < 0;
}

static int file_is_pseudo(int fd)
{
	struct statfs fs;

	if (SYS_CALL(SYS_fstatfs, fd, &fs) < 0)
		return 0;
	switch ((unsigned long)fs.f_type) {
	case PROC_SUPER_MAGIC:
	case SYSFS_MAGIC:
	case CGROUP_SUPER_MAGIC:
	case CGROUP2_SUPER_MAGIC:
	case DEBUGFS_MAGIC:
	case TRACEFS_MAGIC:
	case SECURITYFS_MAGIC:
	case BPF_FS_MAGIC:
		return 1;
	}
	return 0;
}

/* null, zero, full, random, urandom, kmsg, hwrng: one is like the other. */
static int file_device_known(uint64_t rdev)
{
	unsigned major = (unsigned)(rdev >> 8) & 0xfff;
	unsigned minor = (unsigned)(rdev & 0xff);

	if (major == 1)
		return minor == 3 || minor == 5 || (minor >= 7 && minor <= 9) ||
		       minor == 11;
	return major == 10 && minor == 183;
}

/* "1: POSIX  ADVISORY  WRITE 4711 fe:00:1234 0 EOF" */
static int file_lock_parse(const char *at, struct file_lock *lock)
{
	at = fdinfo_blanks(fdinfo_word_end(at));
	if (sys_starts(at, "POSIX"))
		lock->kind = FILE_LOCK_POSIX;
	else if (sys_starts(at, "OFDLCK"))
		lock->kind = FILE_LOCK_OFD;
	else if (sys_starts(at, "FLOCK"))
		lock->kind = FILE_LOCK_FLOCK;
	else if (sys_starts(at, "LEASE"))
		lock->kind = FILE_LOCK_LEASE;
	else
		return 0;
	at = fdinfo_blanks(fdinfo_word_end(at)); /* ADVISORY, ACTIVE ... */
	at = fdinfo_blanks(fdinfo_word_end(at));
	lock->write = sys_starts(at, "WRITE");
	at = fdinfo_blanks(fdinfo_word_end(at)); /* pid */
	at = fdinfo_blanks(fdinfo_word_end(at)); /* device:inode */
	at = fdinfo_blanks(fdinfo_word_end(at));
	lock->start = sys_number(&at, 10);
	at = fdinfo_blanks(at);
	lock->length = 0;
	if (!sys_starts(at, "EOF"))
		lock->length = sys_number(&at, 10) - lock->start + 1;
	return 1;
}

static uint32_t file_locks(const char *text, struct file_lock *locks,
			   uint32_t max)
{
	uint32_t count = 0;

	while ((text = fdinfo_find(text, "lock")) != NULL) {
		struct file_lock lock;

		if (!file_lock_parse(text, &lock))
			continue;
		if (count < max && locks)
			locks[count] = lock;
		count++;
	}
	return count;
}

static int file_classify(const struct ckpt_fd *fd)
{
	if (sys_starts(fd->target, "anon_inode:") || *fd->target != '/')
		return file_refuse_unknown(fd);
	if (sys_starts(fd->target, "/memfd:"))
		return FILE_IS_MEMFD;
	if (sys_starts(fd->target, "/dmabuf:") ||
	    sys_starts(fd->target, "/secretmem"))
		return file_refuse_unknown(fd);
	if (fd->status_flags & O_PATH)
		return FILE_IS_PATH;
	switch (fd->st.mode & S_IFMT) {
	case S_IFREG:
		return file_is_pseudo(fd->fd) ? FILE_IS_PSEUDO : FILE_IS_REGULAR;
	case S_IFDIR:
		return FILE_IS_DIRECTORY;
	case S_IFCHR:
		if (!file_device_known(fd->st.rdev))
			return file_refuse(fd, "the state of this device "
					       "cannot be saved");
		return FILE_IS_DEVICE;
	case S_IFBLK:
		if (file_writable(fd))
			return file_refuse(fd, "a disk that is open for "
					       "writing cannot be saved");
		return FILE_IS_DEVICE;
	}
	return file_refuse_unknown(fd);
}

/* Ask for the content where the checkpoint needs it. */
static int file_store(const struct ckpt_fd *fd, struct file_record *record)
{
	uint32_t flags = record->deleted ? FILE_DELETED : 0;
	int now = 0;

	if (record->type == FILE_IS_MEMFD) {
		flags = FILE_DELETED | FILE_SHM | FILE_CONTENT | FILE_STORED;
		now = 1;
	} else if (file_writable(fd)) {
		flags |= FILE_CONTENT | FILE_STORED;
		if (file_append_only(fd))
			flags |= FILE_APPEND_ONLY;
		now = 1;
	} else if (record->deleted) {
		flags |= FILE_CONTENT | FILE_STORED;
	} else if (fd->st.size <= FILE_SMALL) {
		flags |= FILE_STORED;
	}
	return ckpt_store_file(fd, flags, now);
}

static int file_save(const struct ckpt_fd *fd, struct ckpt_record *out)
{
	static struct file_lock locks[FILE_LOCKS_MAX];
	struct file_record record = {
		.dev = fd->st.dev,
		.ino = fd->st.ino,
		.rdev = fd->st.rdev,
		.mode = fd->st.mode,
	};
	size_t length = sys_strlen(fd->target);
	int ret = file_classify(fd);

	if (ret < 0)
		return ret;
	record.type = (uint32_t)ret;
	record.deleted = (uint32_t)file_deleted(fd);
	if (record.type == FILE_IS_REGULAR || record.type == FILE_IS_MEMFD) {
		ret = file_store(fd, &record);
		if (ret < 0)
			return ret;
		record.file = (uint32_t)ret;
	} else if (record.deleted && record.type != FILE_IS_DIRECTORY &&
		   record.type != FILE_IS_PSEUDO) {
		return file_refuse(fd, "it has no name any more and cannot be "
				       "opened again");
	}
	if (record.type == FILE_IS_MEMFD) {
		long seals = sys_fcntl(fd->fd, F_GET_SEALS, 0);

		record.seals = seals > 0 ? (uint32_t)seals : 0;
	}
	record.lock_count = file_locks(fd->fdinfo, locks, FILE_LOCKS_MAX);
	if (record.lock_count > FILE_LOCKS_MAX)
		return file_refuse(fd, "more than 4096 locks on one file");
	if (record.deleted && length > sizeof(DELETED) - 1)
		length -= sizeof(DELETED) - 1;
	record.path_length = (uint32_t)length;
	ckpt_put(out, &record, sizeof(record));
	ckpt_put(out, locks, record.lock_count * sizeof(*locks));
	ckpt_put(out, fd->target, length);
	return 0;
}

const struct ckpt_saver file_saver = {
	.kind = 90,
	.name = "file",
	.matches = file_matches,
	.save = file_save,
};
