/* SPDX-License-Identifier: MIT */
/*
 * The mappings of the program: what they are, and the files behind them.
 *
 * /proc/self/maps is cheap. smaps, which alone tells VmFlags, walks all page
 * tables: 6 ms a GiB, more than the rest of a stop together. So the stopped
 * process reads maps only, and its snapshot reads smaps of itself, when the
 * program runs again. Three flags are lost that way, and each is noticed:
 * DONTFORK (the area is missing in the snapshot) and WIPEONFORK (its pages
 * are) by areas_verify(), mlock by VmLck. Then, or without a snapshot, the
 * process reads its own smaps: areas_detail(), `frozen.exact`.
 */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "preload/frozen/frozen.h"

#define HUGETLBFS 0x958458f6
#define OVERLAYFS 0x794c7630
#define BTRFS 0x9123683e

struct frozen_vdso frozen_vdso;

/* ---- reading maps ---- */

static int is_named(const struct frozen_area *a, const char *start)
{
	return sys_starts(a->path, start);
}

static int overlaps(const struct frozen_area *a, uint64_t start, uint64_t end)
{
	return a->start < end && start < a->end;
}

/* The kernel's own pages, and what stands for those of a former kernel. */
static int is_kernels(const struct frozen_area *a)
{
	const struct image_rebirth *r = &preload_rebirth;

	if (is_named(a, "[vvar") || is_named(a, "[vdso]") ||
	    is_named(a, "[vsyscall]") || is_named(a, "[uprobes]"))
		return 1;
	if (overlaps(a, frozen_vdso.start, frozen_vdso.end))
		return 1;
	return r->life && (overlaps(a, r->vdso, r->vdso + r->vdso_length) ||
			   overlaps(a, r->vvar, r->vvar + r->vvar_length));
}

/* Where the kernel has put it at exec. */
static void learn_vdso(const struct maps_line *line)
{
	if (sys_equal(line->path, "[vdso]")) {
		frozen_vdso.start = line->start;
		frozen_vdso.end = line->end;
	} else if (sys_starts(line->path, "[vvar")) {
		if (!frozen_vdso.vvar)
			frozen_vdso.vvar = line->start;
		frozen_vdso.vvar_end = line->end;
	}
}

static int refuse(const struct frozen_area *a, const char *why)
{
	return frozen_fail(-EOPNOTSUPP, "memory at ", HEX(a->start), " (",
			   a->path, "): ", why, NULL);
}

static int is_deleted(const struct frozen_area *a)
{
	size_t length = sys_strlen(a->path);

	return procfs_deleted(a->path, length) != length;
}

static int is_sysv(const char *path)
{
	size_t length = sys_strlen(path);

	return sys_starts(path, "/SYSV") &&
	       procfs_deleted(path, length) != length;
}

/* By its name alone; areas_files() looks at those of files again. */
static int classify(struct frozen_area *a)
{
	uint64_t registry = (uint64_t)preload.registry;
	uint64_t end = registry + ((REGISTRY_SIZE + FROZEN_PAGE - 1) &
				   ~(uint64_t)(FROZEN_PAGE - 1));

	if (registry && a->start >= registry && a->end <= end) {
		a->type = AREA_REGISTRY;
		return 0;
	}
	a->type = a->shared ? AREA_ANON_SHARED : AREA_ANON;
	if (sys_equal(a->path, "[heap]"))
		a->flags |= AREA_HEAP;
	else if (sys_equal(a->path, "[stack]"))
		a->flags |= AREA_STACK;
	if (!*a->path || is_named(a, "[heap]") || is_named(a, "[stack") ||
	    is_named(a, "[anon:") || is_named(a, "[anon_shmem:"))
		return 0;
	if (is_named(a, "/[aio]"))
		return refuse(a, "a program that uses kernel AIO (io_setup) "
				 "cannot be saved");
	if (is_sysv(a->path)) {
		a->type = AREA_SYSV;
		a->file = (uint32_t)a->ino; /* the kernel puts its id there */
		return 0;
	}
	if (*a->path != '/')
		return refuse(a, "memory of this kind cannot be saved");
	if (is_named(a, "/anon_hugepage") && is_deleted(a)) {
		a->flags |= AREA_HUGETLB;
		return 0;
	}
	/* A private mapping of it is anonymous memory with a name; a shared
	 * one that may not be written to holds nothing but zeros. */
	if (sys_equal(a->path, "/dev/zero")) {
		a->type = AREA_ANON;
		return 0;
	}
	if (is_deleted(a) && (is_named(a, "/dev/zero") ||
			      is_named(a, "/memfd:"))) {
		if (!a->shared)
			a->type = AREA_FILE_LOST;
		return 0;
	}
	a->type = a->shared ? AREA_FILE_SHARED : AREA_FILE_PRIVATE;
	return 0;
}

static int add(const struct frozen_area *piece)
{
	if (frozen.area_count == frozen.area_max)
		return frozen_fail(-ENOMEM, "more than ",
				   NUMBER(frozen.area_max), " mappings", NULL);
	frozen.areas[frozen.area_count++] = *piece;
	return 0;
}

/* Our own ranges may have been merged with the program's: cut them out. */
static int add_around_own(struct frozen_area *a)
{
	uint64_t end = a->end, offset = a->offset, start = a->start;
	uint32_t i;
	int ret;

	for (;;) {
		const struct frozen_range *first = NULL;

		for (i = 0; i < frozen.own_count; i++) {
			const struct frozen_range *r = &frozen.own[i];

			if (r->start < end && a->start < r->end &&
			    (!first || r->start < first->start))
				first = r;
		}
		a->end = first ? first->start : end;
		a->offset = offset + (a->start - start);
		ret = a->start < a->end ? add(a) : 0;
		if (ret < 0 || !first)
			return ret;
		a->start = first->end;
		if (a->start >= end)
			return 0;
	}
}

static int add_line(const struct maps_line *line, size_t path_length)
{
	const struct frozen_area *last =
		frozen.area_count ? &frozen.areas[frozen.area_count - 1] : NULL;
	struct frozen_area a = {
		.start = line->start,
		.end = line->end,
		.offset = line->offset,
		.dev = line->dev,
		.ino = line->ino,
		.prot = line->prot,
		.shared = (uint8_t)line->shared,
		.path = "",
	};
	int ret;

	if (last && sys_equal(last->path, line->path))
		a.path = last->path;
	else if (path_length)
		a.path = frozen_keep(line->path, path_length);
	if (!a.path)
		return frozen.error;
	if (is_kernels(&a))
		return 0;
	ret = classify(&a);
	return ret < 0 ? ret : add_around_own(&a);
}

static int open_lines(struct lines *l, const char *path)
{
	long fd = sys_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);

	if (fd < 0)
		return frozen_fail((int)fd, path, ": ",
				   frozen_strerror((int)fd), NULL);
	lines_open(l, (int)fd, frozen.line, FROZEN_LINE);
	return 0;
}

static int close_lines(struct lines *l, const char *path, int ret)
{
	sys_close(l->fd);
	if (l->error)
		return frozen_fail(l->error, path, ": ",
				   frozen_strerror(l->error), NULL);
	return ret;
}

/* They grow at the end of the scratch range. */
static void learn_attached(const struct maps_line *line)
{
	struct attached *a = frozen_alloc(sizeof(*a));

	if (!a)
		return;
	a->what = (struct ckpt_attachment){
		.offset = line->offset,
		.length = line->end - line->start,
		.id = (int)line->ino,
		.writable = !!(line->prot & PROT_WRITE),
	};
	if (!frozen.attached)
		frozen.attached = a;
	frozen.attached_count++;
}

int ckpt_attached(uint32_t index, struct ckpt_attachment *attachment)
{
	if (index >= frozen.attached_count)
		return 0;
	*attachment = frozen.attached[index].what;
	return 1;
}

int areas_vdso(void)
{
	static const char path[] = "/proc/thread-self/maps";
	struct maps_line line;
	struct lines l;
	const char *text;
	int ret;

	ret = open_lines(&l, path);
	if (ret < 0)
		return ret;
	if (!preload_rebirth.life)
		frozen_vdso = (struct frozen_vdso){0};
	while ((text = lines_next(&l, NULL)) != NULL) {
		frozen.line_count++;
		if (maps_parse(text, &line) < 0)
			continue;
		if (!preload_rebirth.life)
			learn_vdso(&line);
		if (is_sysv(line.path))
			learn_attached(&line);
	}
	return close_lines(&l, path, frozen.error);
}

/* All that is ours has been mapped: from here on nothing may be. */
int areas_read(void)
{
	static const char path[] = "/proc/thread-self/maps";
	struct maps_line line;
	struct lines l;
	size_t length;
	char *text;
	int ret;

	frozen.area_max = (uint32_t)(frozen.scratch_size / 8 /
				     sizeof(*frozen.areas));
	frozen.areas = frozen_alloc(frozen.area_max * sizeof(*frozen.areas));
	if (!frozen.areas)
		return frozen.error;
	ret = open_lines(&l, path);
	if (ret < 0)
		return ret;
	while (ret == 0 && (text = lines_next(&l, &length)) != NULL) {
		ret = maps_parse(text, &line);
		if (ret < 0)
			frozen_fail(ret, path, ": cannot read \"", text, "\"",
				    NULL);
		else
			ret = add_line(&line, length - (size_t)(line.path - text));
	}
	return close_lines(&l, path, ret);
}

/* ---- details ---- */

static int apply(const struct maps_line *line, const struct smaps_detail *d,
		 uint32_t *index)
{
	uint32_t i = *index;

	while (i < frozen.area_count && frozen.areas[i].end <= line->start)
		i++;
	for (; i < frozen.area_count && frozen.areas[i].start < line->end; i++) {
		struct frozen_area *a = &frozen.areas[i];

		if (d->refused & SMAPS_UFFD)
			return refuse(a, "memory watched by userfaultfd cannot "
					 "be saved");
		if (d->refused & SMAPS_SHADOW_STACK)
			return refuse(a, "a shadow stack cannot be saved");
		if ((d->refused & SMAPS_IO) && a->type != AREA_REGISTRY)
			return refuse(a, "memory of a device cannot be saved");
		a->flags |= d->flags;
		a->pkey = d->pkey;
		if (a->flags & AREA_HUGETLB)
			a->hugetlb_shift = d->hugetlb_shift;
		a->empty = !d->present;
	}
	*index = i;
	return 0;
}

static int is_detail(const char *text)
{
	return *text >= 'A' && *text <= 'Z';
}

int areas_detail(void)
{
	static const char path[] = "/proc/thread-self/smaps";
	struct smaps_detail detail = {0};
	struct maps_line line = {0};
	struct lines l;
	uint32_t index = 0;
	char *text;
	int ret = open_lines(&l, path);

	if (ret < 0)
		return ret;
	while (ret == 0 && (text = lines_next(&l, NULL)) != NULL) {
		if (!is_detail(text)) {
			ret = maps_parse(text, &line);
			detail = (struct smaps_detail){0};
		} else if (smaps_parse(text, &detail)) {
			/* An area may reach into the next line's. */
			ret = apply(&line, &detail, &index);
			if (index)
				index--;
		}
	}
	return close_lines(&l, path, ret);
}

/* ---- files ---- */

static struct frozen_file *known(const struct frozen_area *a)
{
	uint32_t i;

	for (i = 0; i < frozen.file_count; i++)
		if (frozen.files[i].map_ino == a->ino &&
		    frozen.files[i].map_dev == a->dev)
			return &frozen.files[i];
	return NULL;
}

/* maps shows another device than stat() on btrfs, and on overlayfs before
 * Linux 6.8 another inode, too. */
static int is_same(int fd, const struct ckpt_stat *st,
		   const struct frozen_area *a)
{
	struct statfs fs;

	if (st->ino == a->ino && st->dev == a->dev)
		return 1;
	if (SYS_CALL(SYS_fstatfs, fd, &fs) < 0)
		return 0;
	return fs.f_type == OVERLAYFS ||
	       (fs.f_type == BTRFS && st->ino == a->ino);
}

/* Opens the path if it still leads to what is mapped. Returns a descriptor,
 * -ENOENT if not, or -ENXIO: it is a device. */
static int open_path(const struct frozen_area *a, const char *path,
		     struct ckpt_stat *st)
{
	struct stat s;
	long fd = SYS_CALL(SYS_newfstatat, AT_FDCWD, path, &s, 0);

	if (fd < 0)
		return (int)fd;
	if (S_ISCHR(s.st_mode) || S_ISBLK(s.st_mode))
		return s.st_ino == a->ino ? -ENXIO : -ENOENT;
	if (!S_ISREG(s.st_mode)) /* opening others may have effects */
		return -ENOENT;
	fd = sys_openat(AT_FDCWD, path,
			O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0);
	if (fd < 0)
		return (int)fd;
	if (files_stat((int)fd, st) == 0 && is_same((int)fd, st, a))
		return (int)fd;
	sys_close((int)fd);
	return -ENOENT;
}

static int open_descriptor(const struct frozen_area *a, struct ckpt_stat *st)
{
	char path[48];
	struct sys_text t;
	int of = fds_find(a->dev, a->ino);
	long fd;

	if (of < 0)
		return -ENOENT;
	sys_text_open(&t, path, sizeof(path));
	sys_text_put(&t, "/proc/thread-self/fd/");
	sys_text_number(&t, (uint64_t)of, 10);
	fd = sys_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
	if (fd >= 0 && files_stat((int)fd, st) < 0)
		st->mode = 0;
	return (int)fd;
}

/* Where the file of an area is: its path in *length bytes of path, a newline
 * unescaped; a descriptor; or -errno. */
static int open_file(const struct frozen_area *a, char *path, size_t *length,
		     struct ckpt_stat *st, uint32_t *flags)
{
	size_t full = sys_strlen(a->path), bare;
	int fd;

	*flags = 0;
	if (full >= FROZEN_PATH)
		return -ENAMETOOLONG;
	__builtin_memcpy(path, a->path, full + 1);
	*length = full;
	fd = open_path(a, path, st);
	if (fd >= 0 || fd == -ENXIO)
		return fd;
	*length = procfs_unescape(path);
	fd = *length < full ? open_path(a, path, st) : fd;
	if (fd >= 0)
		return fd;
	bare = procfs_deleted(path, *length);
	if (bare != *length) {
		/* Replaced, and put back: then the name is right again. */
		path[bare] = 0;
		*length = bare;
		fd = open_path(a, path, st);
		if (fd >= 0)
			return fd;
	}
	*flags = FILE_DELETED;
	return open_descriptor(a, st);
}

/* Nobody can open it: its memory is all there is. */
static int lost(struct frozen_area *a)
{
	a->type = a->shared ? AREA_ANON_SHARED : AREA_FILE_LOST;
	return 0;
}

static void note_hugetlb(struct frozen_area *a, int fd)
{
	struct statfs fs;
	uint64_t size;

	if (SYS_CALL(SYS_fstatfs, fd, &fs) < 0 ||
	    (uint64_t)fs.f_type != HUGETLBFS)
		return;
	a->flags |= AREA_HUGETLB;
	for (size = (uint64_t)fs.f_bsize; size > 1; size >>= 1)
		a->hugetlb_shift++;
}

static int send_mapped(struct frozen_file *file, const struct frozen_area *a,
		       int fd)
{
	int now = a->shared && (a->prot & PROT_WRITE);

	if (now)
		file->record.flags |= FILE_CONTENT;
	/* Its content is the program's, and goes back with it only if asked. */
	if (now && !frozen.begin.rollback &&
	    !(file->record.flags & FILE_DELETED))
		return 0;
	return files_send(file, fd,
			  now ? SERVICE_FILE_NOW : SERVICE_FILE_LATER);
}

static int find_file(struct frozen_area *a)
{
	struct frozen_file *file = known(a);
	int again = a->shared && (a->prot & PROT_WRITE);
	struct ckpt_stat st = {0};
	size_t length;
	uint32_t flags;
	int fd, ret;

	if (file && (!again || file->sent > SERVICE_FILE_NOW)) {
		a->file = file->record.id;
		return 0;
	}
	fd = open_file(a, frozen.path, &length, &st, &flags);
	if (fd == -ENXIO)
		return refuse(a, "a mapped device cannot be saved");
	if (fd < 0)
		return lost(a);
	note_hugetlb(a, fd);
	file = files_note(&st, frozen.path, length, flags);
	ret = frozen.error;
	if (file) {
		file->map_dev = a->dev;
		file->map_ino = a->ino;
		a->file = file->record.id;
		ret = send_mapped(file, a, fd);
	}
	sys_close(fd);
	return ret;
}

/* One object for all areas of a dev:ino, as large as any of them reaches. */
static int find_object(struct frozen_area *a)
{
	struct ckpt_stat st = {.dev = a->dev, .ino = a->ino, .mode = S_IFREG | 0600};
	size_t length = sys_strlen(a->path);
	struct frozen_file *file;
	uint64_t end = a->offset + (a->end - a->start);
	int fd = fds_find(a->dev, a->ino);
	long seals;

	if (fd >= 0)
		files_stat(fd, &st);
	/* Its content comes back through the mapping, when the seals stand. */
	seals = fd < 0 ? 0 : sys_fcntl(fd, F_GET_SEALS, 0);
	if (seals > 0 && (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)))
		return frozen_fail(-EOPNOTSUPP, "fd ", NUMBER(fd), " (", a->path,
				   "): a memfd that is sealed against writing "
				   "and mapped shared cannot be saved", NULL);
	file = files_note(&st, a->path, procfs_deleted(a->path, length),
			  FILE_SHM | FILE_DELETED);
	if (!file)
		return frozen.error;
	if (file->record.size < end)
		file->record.size = end;
	a->file = file->record.id;
	return 0;
}

/* The same piece of the object in several processes is written by one. What
 * cannot be read is not promised to anybody. */
static void claim(struct frozen_area *a)
{
	/* Segments and objects count inodes separately. */
	const uint64_t what[5] = {
		CLAIM_AREA + ((uint64_t)a->type << 8), a->dev, a->ino,
		a->offset, a->end - a->start,
	};

	if (a->prot & PROT_READ)
		a->elsewhere = !frozen_claim(what);
}

/* Whether it was attached read-only is told by what it might become. Then
 * somebody else has its pages: see plugins/sysv. */
static void find_segment(struct frozen_area *a)
{
	uint64_t length = a->end - a->start;
	int more = (int)a->prot | PROT_READ | PROT_WRITE;

	if (!(a->prot & PROT_WRITE)) {
		if (sys_mprotect((void *)a->start, length, more) < 0)
			a->flags |= AREA_READ_ONLY;
		else
			sys_mprotect((void *)a->start, length, (int)a->prot);
	}
	if (a->flags & AREA_READ_ONLY)
		a->elsewhere = 1;
	else
		claim(a);
}

int areas_files(void)
{
	uint32_t i;
	int ret = 0;

	for (i = 0; i < frozen.area_count && ret == 0; i++) {
		struct frozen_area *a = &frozen.areas[i];

		if (a->type == AREA_FILE_PRIVATE || a->type == AREA_FILE_SHARED)
			ret = find_file(a);
		if (ret == 0 && a->type == AREA_ANON_SHARED)
			ret = find_object(a);
		if (ret == 0 && a->type == AREA_SYSV)
			find_segment(a);
	}
	for (i = 0; i < frozen.area_count && ret == 0; i++) {
		struct frozen_area *a = &frozen.areas[i];

		if (a->type != AREA_ANON_SHARED)
			continue;
		a->object_size = frozen.files[a->file - 1].record.size;
		claim(a);
	}
	return ret;
}

/* ---- the snapshot ---- */

void areas_inherit(int on)
{
	uint32_t i;

	if (!frozen.exact)
		return;
	for (i = 0; i < frozen.area_count; i++) {
		const struct frozen_area *a = &frozen.areas[i];
		void *at = (void *)a->start;
		uint64_t length = a->end - a->start;

		if (a->flags & AREA_DONTFORK)
			sys_madvise(at, length,
				    on ? MADV_DOFORK : MADV_DONTFORK);
		/* Droppable memory is wiped for good, and not ours to keep. */
		if ((a->flags & AREA_WIPEONFORK) &&
		    !(a->flags & AREA_DROPPABLE))
			sys_madvise(at, length,
				    on ? MADV_KEEPONFORK : MADV_WIPEONFORK);
	}
}

int areas_touched(void)
{
	uint32_t i;
	int pagemap = pages_open();
	int ret = pagemap < 0 ? pagemap : 0;

	for (i = 0; i < frozen.area_count && ret >= 0; i++) {
		struct frozen_area *a = &frozen.areas[i];

		if (a->type != AREA_ANON)
			continue;
		ret = pages_any(pagemap, a->start, a->end);
		a->touched = ret > 0;
	}
	if (pagemap >= 0)
		sys_close(pagemap);
	return ret < 0 ? ret : 0;
}

/* Do the snapshot's mappings cover all areas? Both ascend. */
static int all_there(struct lines *l)
{
	const struct frozen_area *a = frozen.areas;
	const struct frozen_area *end = a + frozen.area_count;
	uint64_t at = a->start;
	struct maps_line line;
	char *text;

	while (a < end && (text = lines_next(l, NULL)) != NULL) {
		if (maps_parse(text, &line) < 0)
			return 0;
		while (a < end && at < line.end) {
			if (at < line.start)
				return 0;
			at = a->end < line.end ? a->end : line.end;
			if (at == a->end && ++a < end)
				at = a->start;
		}
	}
	return a == end;
}

int areas_verify(void)
{
	struct lines l;
	uint32_t i;
	int ret = open_lines(&l, "/proc/thread-self/maps");
	int pagemap, there;

	if (ret < 0)
		return ret;
	there = all_there(&l);
	ret = close_lines(&l, "/proc/thread-self/maps", 0);
	if (ret < 0 || !there || frozen.exact)
		return ret < 0 ? ret : !there;
	pagemap = pages_open();
	if (pagemap < 0)
		return 1;
	for (i = 0; i < frozen.area_count && there; i++) {
		const struct frozen_area *a = &frozen.areas[i];

		if (a->touched)
			there = pages_any(pagemap, a->start, a->end) > 0;
	}
	sys_close(pagemap);
	return !there;
}
