/* SPDX-License-Identifier: MIT */
/*
 * The program's descriptors. The service thread has a table of its own, copied
 * when it was cloned, which was before all threads stood still: first that
 * copy catches up, then descriptors are read, then those that share an open
 * file description find each other.
 *
 * "The program's table" is that of a parked thread. /proc shows it under
 * /proc/self/task/TID, kcmp() tells whether a number leads to the same
 * description in both, pidfd_getfd() fetches what we lack.
 */
#define _GNU_SOURCE
#include <linux/kcmp.h>
#include <sys/stat.h>

#include "preload/frozen/frozen.h"

#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL /* Linux 6.9 */
#endif

#define DENTS (32u << 10)

struct dirent64 {
	uint64_t ino;
	int64_t offset;
	uint16_t length;
	uint8_t type;
	char name[];
};

struct fd_list {
	int *fds;
	size_t count;
};

static int mine(int fd)
{
	int i;

	for (i = 0; i < FROZEN_FDS_OWN; i++)
		if (frozen.fds[i] == fd)
			return 1;
	return 0;
}

static int contains(const struct fd_list *list, int fd)
{
	size_t low = 0, high = list->count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (list->fds[middle] == fd)
			return 1;
		if (list->fds[middle] < fd)
			low = middle + 1;
		else
			high = middle;
	}
	return 0;
}

static void task_path(char *path, size_t size, int tid, const char *file,
		      int fd)
{
	struct sys_text t;

	sys_text_open(&t, path, size);
	sys_text_put(&t, "/proc/self/task/");
	sys_text_number(&t, (uint64_t)tid, 10);
	sys_text_put(&t, file);
	if (fd >= 0)
		sys_text_number(&t, (uint64_t)fd, 10);
}

/* Ascending, as the kernel lists them. */
static int list_fds(int tid, struct fd_list *list)
{
	char path[64];
	char *buffer = frozen_alloc(DENTS);
	long dir, n = -ENOMEM;

	task_path(path, sizeof(path), tid, "/fd", -1);
	dir = sys_openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
	if (dir < 0)
		return frozen_fail((int)dir, path, ": ",
				   frozen_strerror((int)dir), NULL);
	list->fds = frozen_alloc(0);
	list->count = 0;
	while (buffer && list->fds) {
		const char *p = buffer;

		n = SYS_CALL(SYS_getdents64, dir, buffer, DENTS);
		if (n <= 0)
			break;
		while (p < buffer + n) {
			const struct dirent64 *d = (const void *)p;
			const char *name = d->name;

			p += d->length;
			if (*name < '0' || *name > '9' ||
			    !frozen_alloc(sizeof(int)))
				continue;
			/* frozen_alloc() hands out 16 bytes at least. */
			frozen.scratch_used =
				(uint64_t)(list->fds + list->count + 1) -
				frozen.scratch;
			list->fds[list->count++] = (int)sys_number(&name, 10);
		}
	}
	sys_close((int)dir);
	if (tid == sys_gettid()) /* our own list has the folder in it */
		for (size_t i = 0; i < list->count; i++)
			if (list->fds[i] == dir)
				list->fds[i] = -1;
	if (n < 0)
		return frozen_fail((int)n, path, ": ", frozen_strerror((int)n),
				   NULL);
	return frozen.error;
}

static int parked_tid(void)
{
	return park_count() ? park_thread_at(0)->tid : sys_getpid();
}

static long compare(int tid_a, int a, int tid_b, int b)
{
	if (frozen_masked("kcmp"))
		return -ENOSYS;
	return SYS_CALL(SYS_kcmp, tid_a, tid_b, KCMP_FILE, a, b);
}

/* One of ours stands where the program has a descriptor: to the first number
 * that neither has. */
static int move_away(int *fd, const struct fd_list *theirs)
{
	long to = 0;

	do {
		if (to)
			sys_close((int)to);
		to = sys_fcntl(*fd, F_DUPFD_CLOEXEC, (unsigned long)to + 1);
	} while (to >= 0 && contains(theirs, (int)to));
	if (to < 0)
		return frozen_fail((int)to, "no free descriptor for the "
					    "checkpoint: raise the limit "
					    "(ulimit -n)", NULL);
	*fd = (int)to;
	return 0;
}

/* A handle on the program's table. */
static long open_program(int tid, const struct fd_list *theirs)
{
	long pid = SYS_CALL(SYS_pidfd_open, tid, PIDFD_THREAD);

	/* Before 6.9: the leader will do, as long as it lives. */
	if (pid == -EINVAL)
		pid = SYS_CALL(SYS_pidfd_open, sys_getpid(), 0);
	if (pid < 0)
		return pid;
	frozen.program_pid = (int)pid;
	if (contains(theirs, (int)pid)) {
		long ret = move_away(&frozen.program_pid, theirs);

		sys_close((int)pid);
		return ret;
	}
	return 0;
}

static long fetch(int tid, int fd, const struct fd_list *theirs)
{
	long got, ret;

	ret = frozen.program_pid < 0 ? open_program(tid, theirs) : 0;
	if (ret < 0)
		return ret;
	got = SYS_CALL(SYS_pidfd_getfd, frozen.program_pid, fd, 0);
	if (got < 0 || got == fd)
		return got;
	ret = SYS_CALL(SYS_dup3, got, fd, O_CLOEXEC);
	sys_close((int)got);
	return ret;
}

static int catch_up(const struct fd_list *theirs, int tid)
{
	struct fd_list ours;
	int me = sys_gettid();
	long ret;
	size_t i;

	for (i = 0; i < theirs->count; i++) {
		int fd = theirs->fds[i];

		if (compare(tid, fd, me, fd) == 0)
			continue;
		ret = fetch(tid, fd, theirs);
		if (ret < 0)
			return frozen_fail((int)ret, "fd ", NUMBER(fd),
					   ": opened while threads were being "
					   "stopped, and cannot be fetched: ",
					   frozen_strerror((int)ret), NULL);
	}
	ret = list_fds(me, &ours);
	if (ret < 0)
		return (int)ret;
	for (i = 0; i < ours.count; i++)
		if (ours.fds[i] >= 0 && !mine(ours.fds[i]) &&
		    !contains(theirs, ours.fds[i]))
			sys_close(ours.fds[i]);
	return 0;
}

/* A thread that has called unshare() has things of its own, which one image
 * of the process cannot hold. */
static int all_share(int tid)
{
	static const struct {
		int what;
		const char *name;
	} shared[] = {
		{KCMP_FILES, "descriptors"},
		{KCMP_FS, "working directory"},
	};
	size_t i, k;

	for (i = 1; i < park_count(); i++)
		for (k = 0; k < sizeof(shared) / sizeof(*shared); k++) {
			int other = park_thread_at(i)->tid;

			if (SYS_CALL(SYS_kcmp, tid, other, shared[k].what, 0,
				     0) <= 0)
				continue;
			return frozen_fail(-EOPNOTSUPP, "thread ",
					   NUMBER(other), " has its own ",
					   shared[k].name,
					   ", that cannot be saved", NULL);
		}
	return 0;
}

static struct fd_list program_fds;

static int make_way(const struct fd_list *theirs)
{
	int i, ret = 0;

	for (i = 0; i < FROZEN_FDS_OWN && ret == 0; i++)
		if (frozen.fds[i] >= 0 && contains(theirs, frozen.fds[i]))
			/* Closed by what is fetched into its place. */
			ret = move_away(&frozen.fds[i], theirs);
	return ret;
}

int fds_make_way(void)
{
	int tid = parked_tid();
	int ret = all_share(tid);

	if (ret == 0)
		ret = list_fds(tid, &program_fds);
	if (ret < 0)
		return ret;
	return make_way(&program_fds);
}

int fds_catch_up(void)
{
	return catch_up(&program_fds, parked_tid());
}

/* ---- reading them ---- */

static const char *read_target(int tid, int fd)
{
	char path[64];
	char *target = frozen_alloc(0);
	long n;

	task_path(path, sizeof(path), tid, "/fd/", fd);
	if (!target || !frozen_alloc(FROZEN_PAGE + 1))
		return NULL;
	n = sys_readlinkat(AT_FDCWD, path, target, FROZEN_PAGE);
	if (n < 0) {
		frozen_fail((int)n, path, ": ", frozen_strerror((int)n), NULL);
		return NULL;
	}
	target[n] = 0;
	frozen.scratch_used = (uint64_t)target + (uint64_t)n + 1 -
			      frozen.scratch;
	return target;
}

/* A description that was opened beside open() may have the bit of its first
 * descriptor (TIOCGPTPEER), and then fdinfo shows it of all: our copy knows. */
static uint32_t close_on_exec(const struct ckpt_fd *fd, uint64_t bits)
{
	uint32_t type = fd->st.mode & S_IFMT;

	if (!(bits & O_CLOEXEC))
		return 0;
	if (type == S_IFSOCK || type == S_IFIFO ||
	    !(sys_fcntl(fd->fd, F_GETFL, 0) & O_CLOEXEC))
		return FD_CLOEXEC;
	return sys_fcntl(fd->fd, F_GETFD, 0) & FD_CLOEXEC;
}

static int read_one(int tid, int number, struct ckpt_fd *fd, uint32_t *flags)
{
	char path[64];
	uint64_t bits;
	const char *position;
	int ret;

	fd->fd = number;
	ret = files_stat(number, &fd->st);
	if (ret < 0)
		return frozen_fail(ret, "fd ", NUMBER(number), ": ",
				   frozen_strerror(ret), NULL);
	fd->target = read_target(tid, number);
	task_path(path, sizeof(path), tid, "/fdinfo/", number);
	fd->fdinfo = frozen_slurp(path, NULL);
	if (!fd->target || !fd->fdinfo)
		return frozen.error;
	bits = procfs_number(fd->fdinfo, "flags", 8, 0);
	fd->status_flags = (uint32_t)bits & ~(uint32_t)O_CLOEXEC;
	*flags = close_on_exec(fd, bits);
	position = sys_find(fd->fdinfo, "pos:");
	if (position) {
		int negative;

		for (position += 4; *position == '\t' || *position == ' ';)
			position++;
		negative = *position == '-';
		position += negative;
		fd->position = (int64_t)sys_number(&position, 10);
		if (negative)
			fd->position = -fd->position;
	}
	return 0;
}

/* ---- who shares a description ---- */

static int by_inode(const struct ckpt_fd *a, const struct ckpt_fd *b)
{
	if (a->st.dev != b->st.dev)
		return a->st.dev < b->st.dev ? -1 : 1;
	if (a->st.ino != b->st.ino)
		return a->st.ino < b->st.ino ? -1 : 1;
	return a->fd < b->fd ? -1 : a->fd > b->fd;
}

/* Heapsort: no recursion, no memory. */
static void sift(uint32_t *order, size_t root, size_t count)
{
	const struct ckpt_fd *d = frozen.descriptors;
	size_t child;

	while ((child = 2 * root + 1) < count) {
		uint32_t swap = order[root];

		if (child + 1 < count &&
		    by_inode(&d[order[child]], &d[order[child + 1]]) < 0)
			child++;
		if (by_inode(&d[order[root]], &d[order[child]]) >= 0)
			return;
		order[root] = order[child];
		order[child] = swap;
		root = child;
	}
}

static void sort_by_inode(uint32_t *order, size_t count)
{
	size_t i;

	for (i = count / 2; i-- > 0;)
		sift(order, i, count);
	for (i = count; i-- > 1;) {
		uint32_t last = order[i];

		order[i] = order[0];
		order[0] = last;
		sift(order, 0, i);
	}
}

/* Without kcmp(): the signal of F_SETSIG belongs to the description and does
 * nothing while there is no owner, so it serves as a mark. -1: cannot tell. */
static int same_by_mark(int a, int b)
{
	long before = sys_fcntl(a, F_GETSIG, 0);
	long other = sys_fcntl(b, F_GETSIG, 0);
	long mark = before == 63 ? 62 : 63;
	int same;

	if (before < 0 || other < 0)
		return 0; /* O_PATH: nothing of it is shared that matters */
	if (before != other)
		return 0;
	if (sys_fcntl(a, F_SETSIG, (unsigned long)mark) < 0)
		return 0;
	same = sys_fcntl(b, F_GETSIG, 0) == mark;
	sys_fcntl(a, F_SETSIG, (unsigned long)before);
	return same;
}

/* `sorted` holds one index a description, in kcmp's order; gives the place
 * of this one, *equal if it is there already. */
static size_t place(const uint32_t *sorted, size_t count, int fd, int *equal)
{
	size_t low = 0, high = count, i;
	int me = sys_gettid();

	*equal = 0;
	while (low < high) {
		size_t middle = (low + high) / 2;
		int other = frozen.descriptors[sorted[middle]].fd;
		long order = compare(me, fd, me, other);

		if (order < 0) { /* no kcmp() here */
			for (i = 0; i < count && !*equal; i++)
				*equal = same_by_mark(
					frozen.descriptors[sorted[i]].fd, fd);
			return *equal ? i - 1 : count;
		}
		if (order == 0) {
			*equal = 1;
			return middle;
		}
		if (order == 1)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

static void match_group(const uint32_t *order, size_t count, uint32_t *sorted)
{
	size_t i, k, found = 0;
	int equal;

	for (i = 0; i < count; i++) {
		uint32_t index = order[i];

		k = place(sorted, found, frozen.descriptors[index].fd, &equal);
		if (equal) {
			frozen.fd_leader[index] = sorted[k];
			continue;
		}
		__builtin_memmove(sorted + k + 1, sorted + k,
				  (found - k) * sizeof(*sorted));
		sorted[k] = index;
		found++;
		frozen.fd_leader[index] = index;
	}
}

static const uint32_t *by_inode_order; /* of all, as by_inode() sorts them */

static int match(void)
{
	const struct ckpt_fd *d = frozen.descriptors;
	size_t count = frozen.fd_count, start, end;
	uint32_t *order = frozen_alloc(count * sizeof(*order));
	uint32_t *sorted = frozen_alloc(count * sizeof(*sorted));
	uint32_t i, objects = 0;

	if (!order || !sorted)
		return frozen.error;
	for (i = 0; i < count; i++)
		order[i] = i;
	sort_by_inode(order, count);
	by_inode_order = order;
	for (start = 0; start < count; start = end) {
		for (end = start + 1;
		     end < count &&
		     d[order[end]].st.ino == d[order[start]].st.ino &&
		     d[order[end]].st.dev == d[order[start]].st.dev;)
			end++;
		match_group(order + start, end - start, sorted);
	}
	/* The lowest of a group leads: groups were made in that order. */
	for (i = 0; i < count; i++)
		if (frozen.fd_leader[i] == i)
			frozen.descriptors[i].object = ++objects;
	for (i = 0; i < count; i++)
		frozen.descriptors[i].object =
			frozen.descriptors[frozen.fd_leader[i]].object;
	return 0;
}

/* ---- those inside others ---- */

#define FOUND_MAX 1024u

/* Behind the program's own in frozen.descriptors, in the order they were
 * found; `owner` is an index there. */
static struct {
	uint32_t first, room;
	uint32_t *owner;
} found;

int ckpt_found(const struct ckpt_fd *owner, int fd)
{
	uint32_t i = frozen.fd_count;
	int ret;

	if (i - found.first == found.room) {
		sys_close(fd);
		return frozen_fail(-ENFILE, "more than ", NUMBER(found.room),
				   " descriptors are on their way through "
				   "sockets", NULL);
	}
	if (fd <= 2) { /* no standard stream, though the program has none */
		long high = sys_fcntl(fd, F_DUPFD_CLOEXEC, 3);

		sys_close(fd);
		if (high < 0)
			return frozen_fail((int)high, "a descriptor on its way "
					   "through a socket: ",
					   frozen_strerror((int)high), NULL);
		fd = (int)high;
	}
	ret = read_one(sys_gettid(), fd, &frozen.descriptors[i],
		       &frozen.fd_flags[i]);
	if (ret < 0)
		return ret;
	found.owner[i - found.first] =
		(uint32_t)(owner - frozen.descriptors);
	frozen.fd_flags[i] |= IMAGE_FD_INSIDE;
	frozen.fd_count++;
	return 0;
}

uint32_t ckpt_inside(const struct ckpt_fd *owner, uint32_t nth)
{
	uint32_t i;

	for (i = found.first; i < frozen.fd_count; i++)
		if (frozen.descriptors[found.owner[i - found.first]].object ==
			    owner->object &&
		    nth-- == 0)
			return frozen.descriptors[i].object;
	return 0;
}

int fds_any_inside(void)
{
	return frozen.fd_count > found.first;
}

/* What is found may have something inside, too. */
static int find_inside(void)
{
	uint32_t i;
	int ret = 0;

	for (i = 0; i < frozen.fd_count && ret == 0; i++)
		ret = plugins_inside(&frozen.descriptors[i]);
	return ret;
}

int fds_read(void)
{
	size_t count = program_fds.count, i;
	int tid = parked_tid();
	int ret = 0;

	by_inode_order = NULL; /* that of the last checkpoint */
	found.first = (uint32_t)count;
	found.room = FOUND_MAX;
	found.owner = frozen_alloc(FOUND_MAX * sizeof(*found.owner));
	count += FOUND_MAX;
	frozen.descriptors = frozen_alloc(count * sizeof(*frozen.descriptors));
	frozen.fd_flags = frozen_alloc(count * sizeof(*frozen.fd_flags));
	frozen.fd_leader = frozen_alloc(count * sizeof(*frozen.fd_leader));
	if (!found.owner || !frozen.descriptors || !frozen.fd_flags ||
	    !frozen.fd_leader)
		return frozen.error;
	for (i = 0; i < found.first && ret == 0; i++)
		ret = read_one(tid, program_fds.fds[i], &frozen.descriptors[i],
			       &frozen.fd_flags[i]);
	frozen.fd_count = (uint32_t)i;
	if (ret == 0)
		ret = find_inside();
	return ret < 0 ? ret : match();
}

int fds_records(void)
{
	uint32_t i;

	for (i = 0; i < frozen.fd_count; i++) {
		struct image_fd record = {
			.fd = frozen.descriptors[i].fd,
			.flags = frozen.fd_flags[i],
			.object = frozen.descriptors[i].object,
		};

		image_record_begin(frozen.writer, IMAGE_FD, 1);
		image_record_put(frozen.writer, &record, sizeof(record));
		image_record_end(frozen.writer);
	}
	return 0;
}

const struct ckpt_fd *ckpt_fd_numbered(int fd)
{
	size_t low = 0, high = found.first;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (frozen.descriptors[middle].fd == fd)
			return &frozen.descriptors[middle];
		if (frozen.descriptors[middle].fd < fd)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

const struct ckpt_fd *ckpt_fd_by_inode(uint64_t dev, uint64_t ino,
				       const struct ckpt_fd *after)
{
	struct ckpt_fd key = {.fd = after ? after->fd : -1};
	size_t low = 0, high = by_inode_order ? frozen.fd_count : 0;
	const struct ckpt_fd *it;

	key.st.dev = dev;
	key.st.ino = ino;
	while (low < high) {
		size_t middle = (low + high) / 2;

		it = &frozen.descriptors[by_inode_order[middle]];
		if (by_inode(it, &key) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (!by_inode_order || low == frozen.fd_count)
		return NULL;
	it = &frozen.descriptors[by_inode_order[low]];
	return it->st.dev == dev && it->st.ino == ino ? it : NULL;
}

int fds_find(uint64_t dev, uint64_t ino)
{
	const struct ckpt_fd *fd = ckpt_fd_by_inode(dev, ino, NULL);

	return fd ? fd->fd : -1;
}

size_t ckpt_fd_count(void)
{
	return frozen.fd_count;
}

const struct ckpt_fd *ckpt_fd_at(size_t index)
{
	return &frozen.descriptors[index];
}
