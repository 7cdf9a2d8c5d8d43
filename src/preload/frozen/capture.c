/* SPDX-License-Identifier: MIT */
/*
 * Everything but memory itself, while all threads stand still: the records of
 * the process, its threads, objects and files.
 *
 * The order: what a thread alone can tell; the process; descriptors; then
 * mappings, when nothing maps or opens any more.
 */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "preload/frozen/frozen.h"

#ifndef PR_GET_AUXV
#define PR_GET_AUXV 0x41555856 /* Linux 6.4 */
#endif

#define RECORDS_MAX (1ull << 30) /* of address space */
#define RUNS_LEAST 16384u

/* ---- the process ---- */

static uint64_t read_number(const char *path, uint64_t missing)
{
	char text[24] = "";
	long fd = sys_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	const char *p = text;
	uint64_t n;
	int negative;

	if (fd < 0)
		return missing;
	if (sys_read((int)fd, text, sizeof(text) - 1) < 0)
		p = "";
	sys_close((int)fd);
	negative = *p == '-';
	p += negative;
	n = sys_number(&p, *p == '0' ? 16 : 10);
	return negative ? -n : n;
}

/* "0x33" and the like. */
static uint64_t read_hex(const char *path, uint64_t missing)
{
	char text[24] = "";
	long fd = sys_openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
	const char *p = text;

	if (fd < 0)
		return missing;
	if (sys_read((int)fd, text, sizeof(text) - 1) < 0)
		text[0] = 0;
	sys_close((int)fd);
	if (sys_starts(p, "0x"))
		p += 2;
	return sys_number(&p, 16);
}

static void fill_mm(struct image_mm *mm, const struct stat_line *s)
{
	*mm = (struct image_mm){
		.start_code = s->field[26],
		.end_code = s->field[27],
		.start_stack = s->field[28],
		.start_data = s->field[45],
		.end_data = s->field[46],
		.start_brk = s->field[47],
		.brk = (uint64_t)SYS_CALL(SYS_brk, 0),
		.arg_start = s->field[48],
		.arg_end = s->field[49],
		.env_start = s->field[50],
		.env_end = s->field[51],
	};
}

static void fill_flags(struct image_process *p, const struct stat_line *s)
{
	int32_t foreground = (int32_t)s->field[8];

	if (park_leader_dead())
		p->flags |= IMAGE_LEADER_DEAD;
	if (p->sid == p->pid)
		p->flags |= IMAGE_SESSION_LEADER;
	if (p->pgid == p->pid)
		p->flags |= IMAGE_GROUP_LEADER;
	if (s->field[7])
		p->flags |= IMAGE_HAS_TTY;
	if (s->field[7] && foreground > 0 && foreground == p->pgid)
		p->flags |= IMAGE_TTY_FOREGROUND;
}

static const struct park_thread *leader(void)
{
	size_t i;

	for (i = 0; i < park_count(); i++)
		if (park_thread_at(i)->tid == sys_getpid())
			return park_thread_at(i);
	return NULL;
}

static int put_process(const char *status)
{
	struct image_process p = {0};
	struct stat_line s;
	const char *text = frozen_slurp("/proc/thread-self/stat", NULL);

	if (!text)
		return frozen.error;
	if (stat_parse(text, &s) < 0)
		return frozen_fail(-EINVAL, "/proc/thread-self/stat: cannot "
					    "read it", NULL);
	p.pid = sys_getpid();
	p.ppid = (int32_t)SYS_CALL(SYS_getppid);
	p.pgid = (int32_t)SYS_CALL(SYS_getpgid, 0);
	p.sid = (int32_t)SYS_CALL(SYS_getsid, 0);
	p.uid = (uint32_t)SYS_CALL(SYS_geteuid);
	p.gid = (uint32_t)SYS_CALL(SYS_getegid);
	p.threads = (uint32_t)park_count();
	fill_flags(&p, &s);
	p.start_time = preload.slot ? preload.slot->start_time : s.field[22];
	/* All timers have been read: none fires before its time. */
	p.realtime = sys_clock_ns(CLOCK_REALTIME);
	p.monotonic = sys_clock_ns(CLOCK_MONOTONIC);
	p.boottime = sys_clock_ns(CLOCK_BOOTTIME);
	fill_mm(&p.mm, &s);
	p.exe_file = frozen.exe_file;
	p.umask = (uint32_t)procfs_number(status, "Umask", 8, 022);
	p.rebirth = (uint64_t)&preload_rebirth;
	p.service = frozen.jump;
	p.registry = (uint64_t)preload.registry;
	p.registry_length = (REGISTRY_SIZE + FROZEN_PAGE - 1) &
			    -(uint64_t)FROZEN_PAGE;
	p.vdso = frozen_vdso.start;
	p.vdso_length = frozen_vdso.end - frozen_vdso.start;
	p.vvar = frozen_vdso.vvar;
	p.vvar_length = frozen_vdso.vvar_end - frozen_vdso.vvar;
	p.personality = (uint64_t)SYS_CALL(SYS_personality, 0xffffffff);
	p.oom_score_adj = (int32_t)read_number("/proc/self/oom_score_adj", 0);
	p.coredump_filter = (uint32_t)read_hex("/proc/self/coredump_filter",
					       0x33);
	__builtin_memcpy(p.comm, leader() ? leader()->comm : s.comm,
			 sizeof(p.comm));
	image_record_begin(frozen.writer, IMAGE_PROCESS, 1);
	image_record_put(frozen.writer, &p, sizeof(p));
	image_record_end(frozen.writer);
	return 0;
}

static void put_thread(const struct park_thread *t)
{
	struct image_thread record = {.tid = t->tid, .jump = t->jump};

	if (t->context) {
		record.user_ip = (uint64_t)
			t->context->uc_mcontext.gregs[REG_RIP];
		record.user_sp = (uint64_t)
			t->context->uc_mcontext.gregs[REG_RSP];
	}
	__builtin_memcpy(record.comm, t->comm, sizeof(record.comm));
	image_record_begin(frozen.writer, IMAGE_THREAD, 1);
	image_record_put(frozen.writer, &record, sizeof(record));
	image_record_end(frozen.writer);
}

static void put_threads(void)
{
	const struct park_thread *first = leader();
	size_t i;

	if (first)
		put_thread(first);
	for (i = 0; i < park_count(); i++)
		if (park_thread_at(i) != first)
			put_thread(park_thread_at(i));
}

static void put_bytes(uint32_t kind, const void *data, size_t length)
{
	image_record_begin(frozen.writer, kind, 1);
	image_record_put(frozen.writer, data, length);
	image_record_end(frozen.writer);
}

static int put_auxv(void)
{
	unsigned char auxv[1024];
	size_t length;
	const char *text;
	long n = SYS_CALL(SYS_prctl, PR_GET_AUXV, auxv, sizeof(auxv), 0, 0);

	if (n > 0 && (size_t)n <= sizeof(auxv) &&
	    !frozen_masked("pr_get_auxv")) {
		put_bytes(IMAGE_AUXV, auxv, (size_t)n);
		return 0;
	}
	text = frozen_slurp("/proc/thread-self/auxv", &length);
	if (!text)
		return frozen.error;
	put_bytes(IMAGE_AUXV, text, length);
	return 0;
}

static void put_cpu(void)
{
	struct image_cpu cpu = {0};

	arch_cpu(&cpu);
	cpu.minsigstksz = (uint32_t)preload.minsigstksz;
	put_bytes(IMAGE_CPU, &cpu, sizeof(cpu));
}

static int put_cwd(void)
{
	struct image_cwd record = {0};
	char *path = frozen.path;
	struct stat by_name, real;
	long looked, n = sys_readlinkat(AT_FDCWD, "/proc/thread-self/cwd", path,
				FROZEN_PATH - 1);
	size_t length;

	if (n < 0)
		return frozen_fail((int)n, "the working directory: ",
				   frozen_strerror((int)n), NULL);
	path[n] = 0;
	length = (size_t)n;
	looked = SYS_CALL(SYS_newfstatat, AT_FDCWD, path, &by_name, 0);
	/* -EACCES: the way to it is closed to a user that root has become. */
	if (looked != -EACCES &&
	    (SYS_CALL(SYS_newfstatat, AT_FDCWD, ".", &real, 0) < 0 ||
	     looked < 0 || real.st_ino != by_name.st_ino ||
	     real.st_dev != by_name.st_dev)) {
		record.deleted = 1;
		length = procfs_deleted(path, length);
	}
	record.path_length = (uint32_t)length;
	image_record_begin(frozen.writer, IMAGE_CWD, 1);
	image_record_put(frozen.writer, &record, sizeof(record));
	image_record_put(frozen.writer, path, length);
	image_record_end(frozen.writer);
	return 0;
}

/* The program's own file, the first of all. Its link opens even when no name
 * leads there any more. */
static int note_exe(void)
{
	static const char link[] = "/proc/thread-self/exe";
	struct ckpt_stat st;
	struct frozen_file *file;
	long fd, n;
	size_t length;
	int ret;

	n = sys_readlinkat(AT_FDCWD, link, frozen.path, FROZEN_PATH - 1);
	if (n < 0)
		return 0;
	frozen.path[n] = 0;
	fd = sys_openat(AT_FDCWD, link, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return 0; /* execute-only: its mappings are kept whole */
	ret = files_stat((int)fd, &st);
	length = procfs_deleted(frozen.path, (size_t)n);
	file = ret < 0 ? NULL
		       : files_note(&st, frozen.path, length,
				    length != (size_t)n ? FILE_DELETED : 0);
	if (file) {
		file->map_dev = st.dev;
		file->map_ino = st.ino;
		frozen.exe_file = file->record.id;
		ret = files_send(file, (int)fd, SERVICE_FILE_LATER);
	}
	sys_close((int)fd);
	return ret < 0 ? ret : frozen.error;
}

/* ---- the writer's memory ---- */

/* The CPUs that any of its threads may use. */
static uint32_t count_cpus(void)
{
	uint64_t *cpus = frozen.cpus;
	uint32_t count = 0;
	size_t i, k;

	SYS_CALL(SYS_sched_getaffinity, 0, sizeof(frozen.cpus), cpus);
	for (i = 0; i < park_count(); i++)
		for (k = 0; k < 16; k++)
			cpus[k] |= park_thread_at(i)->affinity[k];
	for (i = 0; i < 16 * 64; i++)
		count += cpus[i / 64] >> i % 64 & 1;
	return count ? count : 1;
}

static uint32_t writer_threads(void)
{
	uint32_t cpus = count_cpus();
	uint32_t threads = frozen.begin.threads ? frozen.begin.threads : cpus;

	return threads < 64 ? threads : 64;
}

static int open_writer(const char *status)
{
	uint64_t kib = procfs_number(status, "VmRSS", 10, 0) +
		       procfs_number(status, "VmSwap", 10, 0);
	struct image_writer_options options = {
		.fd = frozen.image,
		.compress = frozen.begin.compress,
		.threads = writer_threads(),
		.records_max = RECORDS_MAX,
		/* Every second page at worst, and a few for every area. The
		 * kernel's numbers are rough. */
		.runs_max = kib / 4 + 4 * frozen.line_count + RUNS_LEAST,
	};

	/* What is shared with others counts too, only roughly here. */
	frozen.bytes = (procfs_number(status, "RssAnon", 10, 0) +
			procfs_number(status, "RssShmem", 10, 0) +
			procfs_number(status, "VmSwap", 10, 0))
		       << 10;
	for (;;) {
		frozen.writer = image_writer_open(&options, &frozen.writer_base,
						  &frozen.writer_length);
		if (frozen.writer || options.records_max < 1u << 20)
			break;
		options.records_max /= 4; /* RLIMIT_AS */
		options.threads = (options.threads + 1) / 2;
	}
	if (!frozen.writer)
		return frozen_fail(-ENOMEM, "no memory for writing the image",
				   NULL);
	frozen.own[frozen.own_count++] = (struct frozen_range){
		frozen.writer_base, frozen.writer_base + frozen.writer_length};
	return 0;
}

/* ---- the stage ---- */

static int read_mappings(const char *status)
{
	int ret = areas_read();

	frozen.can_scan = pages_can_scan();
	/* What a snapshot would not have, or what there is no way to tell. */
	frozen.exact = frozen.exact_always;
	if (frozen.begin.sync || !frozen.can_scan ||
	    procfs_number(status, "VmLck", 10, 0))
		frozen.exact = 1;
	if (ret == 0 && frozen.exact)
		ret = areas_detail();
	else if (ret == 0)
		ret = areas_touched();
	return ret < 0 ? ret : areas_files();
}

/* What CKPT_MASK was at exec; only tests set it. */
static void find_mask(void)
{
	static const char name[] = "CKPT_MASK=";
	char *at = frozen.line;
	long fd = sys_openat(AT_FDCWD, "/proc/thread-self/environ",
			     O_RDONLY | O_CLOEXEC, 0);
	long n = fd < 0 ? 0 : sys_read((int)fd, at, FROZEN_LINE - 1);
	const char *end;

	if (fd >= 0)
		sys_close((int)fd);
	if (n <= 0)
		return;
	at[n] = 0;
	for (end = at + n; at < end; at += sys_strlen(at) + 1)
		if (sys_starts(at, name))
			frozen.mask = frozen_keep(at + sizeof(name) - 1,
						  sys_strlen(at) + 1 -
							  sizeof(name));
}

static int capture(void)
{
	const char *status;
	int ret;

	find_mask();
	status = frozen_slurp("/proc/thread-self/status", NULL);
	if (!status)
		return frozen.error;
	ret = park_capture();
	if (ret < 0)
		return frozen_fail(ret, "reading the state of a thread: ",
				   frozen_strerror(ret), NULL);
	/* Ours are where they stay, so the writer may know them. */
	ret = fds_make_way();
	if (ret < 0 || (ret = areas_vdso()) < 0 ||
	    (ret = open_writer(status)) < 0 || (ret = note_exe()) < 0 ||
	    (ret = plugins_capture()) < 0 || (ret = fds_catch_up()) < 0 ||
	    (ret = fds_read()) < 0 || (ret = plugins_save()) < 0 ||
	    (ret = put_process(status)) < 0 ||
	    (ret = plugins_records()) < 0 || (ret = put_auxv()) < 0 ||
	    (ret = put_cwd()) < 0)
		return ret;
	put_threads();
	put_cpu();
	fds_records();
	put_bytes(IMAGE_VDSO, (const void *)frozen_vdso.start,
		  frozen_vdso.end - frozen_vdso.start);
	ret = read_mappings(status);
	if (ret < 0)
		return ret;
	files_records();
	ret = image_writer_error(frozen.writer);
	return ret < 0 ? frozen_fail(ret, "collecting the image's records: ",
				     frozen_strerror(ret), NULL)
		       : 0;
}

int capture_enter(struct service_message *m)
{
	int ret;

	limits_lift();
	ret = frozen_memory_open();
	if (ret == 0)
		ret = capture();
	if (ret < 0) {
		capture_leave(ret);
		return ret;
	}
	m->captured = (struct service_captured){
		.bytes = frozen.bytes,
		.descriptors = frozen.fd_count,
		.tid = fds_any_inside() ? sys_gettid() : 0,
		.areas = frozen.area_count,
	};
	return 0;
}

void capture_leave(int ret)
{
	limits_lower();
	plugins_leave(ret);
	if (frozen.writer)
		image_writer_close(frozen.writer);
	frozen.writer = NULL;
	frozen_memory_close();
}
