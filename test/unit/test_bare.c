// SPDX-License-Identifier: MIT
/*
 * The bare restorer, without the rest: a child writes an image of memory that
 * it makes up, plans its own rebirth by hand and jumps into the blob. What is
 * born is survivor.c, which looks whether all is there.
 */
#define _GNU_SOURCE
#include <check.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "image/reader.h"
#include "image/writer.h"
#include "restore/bare.h"
#include "test/unit/survivor.h"

#define BASE 0x200000000000ull
#define CODE BASE
#define DATA (BASE + 0x100000)
#define STACKS (BASE + 0x200000)
#define STACK_SIZE 0x10000
#define MEMORY (BASE + 0x10000000)
#define MEMORY_SIZE (24ull << 20)
#define CONSTANT (MEMORY + MEMORY_SIZE) /* right behind, read-only */
#define CONSTANT_SIZE (2ull << 20)
#define HEAP (BASE + 0x20000000)
#define HEAP_SIZE (1ull << 20)
#define DOWN (BASE + 0x30000000)
#define DOWN_SIZE 0x40000
#define PRIVATE (BASE + 0x40000000)
#define PRIVATE_SIZE 0x10000
#define SHARED (BASE + 0x50000000)
#define SHARED_SIZE 0x200000
#define OLD_VDSO (BASE + 0x60000000)
#define NOTHING (BASE + 0x70000000)
#define HUGE 0x210000000000ull
#define HUGE_SIZE (1ull << 40)
#define SCRATCH 0x300000000000ull
#define SCRATCH_SIZE (64ull << 20)

extern const unsigned char survivor_blob[], survivor_blob_end[];

/* How a test differs from the plain case. */
struct variant {
	unsigned threads; /* of the program, besides the leader */
	unsigned fill_threads;
	int compress, lazy;
	int vdso; /* 0 none was saved, 1 the same, 2 another one */
	int damage, no_area;
	unsigned leader_dead;
};

static struct survivor *survivor;
static struct bare_plan *plan;
static struct bare_area areas[16];
static unsigned area_count;
static char *scratch_at;

static void *at(uint64_t addr)
{
	return (void *)(uintptr_t)addr;
}

static void need(int ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	_exit(1);
}

static void *make(uint64_t addr, uint64_t length)
{
	void *p = mmap(at(addr), length, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE |
			       MAP_FIXED_NOREPLACE,
		       -1, 0);

	need(p == at(addr), "mmap");
	return p;
}

static void fill(uint64_t addr, uint64_t length, uint64_t seed)
{
	uint64_t *p = at(addr), i;

	for (i = 0; i < length / 8; i++)
		p[i] = survivor_word(addr + i * 8, seed);
}

static void expect(uint64_t addr, uint64_t length, uint64_t seed)
{
	survivor->check[survivor->checks++] =
		(struct survivor_check){addr, length, seed};
}

static struct bare_area *area(uint64_t start, uint64_t length, uint32_t prot)
{
	struct bare_area *a = &areas[area_count++];

	*a = (struct bare_area){.start = start, .end = start + length,
				.fd = -1, .prot = prot};
	return a;
}

static void *scratch(const void *data, size_t length)
{
	char *p = scratch_at;

	scratch_at += (length + 63) & ~63ul;
	if (data)
		memcpy(p, data, length);
	return p;
}

/* ---- the memory of the program ---- */

static void area_with_guard(uint64_t start)
{
	struct image_guard guard = {start + 0x1000, start + 0x2000};
	struct bare_area *a = area(start, 0x4000, PROT_READ | PROT_WRITE);

	plan->guards = scratch(&guard, sizeof(guard));
	a->guard_count = 1;
	a->advice = AREA_LOCKED;
	expect(start, 0x1000, 0);
	expect(start + 0x2000, 0x1000, 0);
	survivor->guard = guard.start;
}

static void make_memory(struct image_writer *w)
{
	unsigned i;

	make(MEMORY, MEMORY_SIZE + CONSTANT_SIZE);
	fill(MEMORY, 4 << 20, 3); /* does not compress */
	expect(MEMORY, 4 << 20, 3);
	fill(MEMORY + (6 << 20), 4 << 20, 5000); /* does */
	expect(MEMORY + (4 << 20), 2 << 20, 0);
	expect(MEMORY + (6 << 20), 4 << 20, 5000);
	for (i = 0; i < 8 << 20; i += 3 * 4096) /* holes */
		fill(MEMORY + (12 << 20) + i, 4096, 4);
	expect(MEMORY + (12 << 20) + 3 * 4096, 4096, 4);
	expect(MEMORY + (12 << 20) + 4 * 4096, 8192, 0);
	fill(CONSTANT, CONSTANT_SIZE, 6);
	expect(CONSTANT, CONSTANT_SIZE, 6);
	image_pages_add(w, MEMORY, MEMORY_SIZE + CONSTANT_SIZE, 0);
	area(MEMORY, MEMORY_SIZE, PROT_READ | PROT_WRITE)->advice =
		AREA_DONTDUMP | AREA_HUGEPAGE;
	area(CONSTANT, CONSTANT_SIZE, PROT_READ);
	area_with_guard(MEMORY + MEMORY_SIZE + CONSTANT_SIZE);

	make(HEAP, HEAP_SIZE);
	fill(HEAP, 8192, 9);
	image_pages_add(w, HEAP, HEAP_SIZE, 0);
	area(HEAP, HEAP_SIZE, PROT_READ | PROT_WRITE)->name =
		(uintptr_t)scratch("the heap", 9);

	make(DOWN, DOWN_SIZE);
	fill(DOWN, DOWN_SIZE, 10);
	image_pages_add(w, DOWN, DOWN_SIZE, 0);
	area(DOWN - 0x2000, 0x2000, PROT_NONE); /* within the guard gap */
	area(DOWN, DOWN_SIZE, PROT_READ | PROT_WRITE)->flags = BARE_GROWSDOWN;
}

static int temporary(uint64_t size)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	need(fd >= 0 && ftruncate(fd, (off_t)size) == 0, "memfd");
	return fd;
}

static void make_files(struct image_writer *w)
{
	int fd = temporary(PRIVATE_SIZE);
	struct bare_area *a;
	char *p;

	p = mmap(at(PRIVATE), PRIVATE_SIZE, PROT_READ | PROT_WRITE,
		 MAP_SHARED, fd, 0);
	need(p == at(PRIVATE), "mmap");
	fill(PRIVATE, PRIVATE_SIZE, 11);
	fill(PRIVATE + 0x3000, 0x1000, 12); /* as the program changed it */
	image_pages_add(w, PRIVATE + 0x3000, 0x1000, 0);
	expect(PRIVATE + 0x2000, 0x1000, 11);
	expect(PRIVATE + 0x3000, 0x1000, 12);
	a = area(PRIVATE, PRIVATE_SIZE, PROT_READ);
	a->fd = fd;

	fd = temporary(SHARED_SIZE);
	make(SHARED, SHARED_SIZE);
	fill(SHARED, SHARED_SIZE, 13);
	image_pages_add(w, SHARED, SHARED_SIZE, RUN_UNSTABLE);
	a = area(SHARED, SHARED_SIZE, PROT_READ);
	a->fd = fd;
	a->flags = BARE_SHARED;

	/* Room for more memory than there is, a little of it used. */
	make(HUGE, HUGE_SIZE);
	fill(HUGE + (1ull << 39), 0x1000, 14);
	image_pages_add(w, HUGE + (1ull << 39), 0x1000, 0);
	area(HUGE, HUGE_SIZE, PROT_READ);
}

static void write_image(const struct variant *v, int fd)
{
	struct image_writer_options o = {
		.fd = fd, .compress = (uint32_t)v->compress, .threads = 2,
		.records_max = 4096, .runs_max = 64,
	};
	struct image_header h = {.pid = getpid()};
	uint64_t base, length;
	struct image_writer *w = image_writer_open(&o, &base, &length);

	need(w != NULL, "writer");
	area(CODE, 0x10000, PROT_READ | PROT_EXEC);
	make(CODE, 0x10000);
	memcpy(at(CODE), survivor_blob,
	       (size_t)(survivor_blob_end - survivor_blob));
	image_pages_add(w, CODE, 0x10000, 0);
	area(DATA, 0x10000, PROT_READ | PROT_WRITE);
	image_pages_add(w, DATA, 0x10000, 0);
	area(STACKS, 16 * STACK_SIZE, PROT_READ | PROT_WRITE);
	make_memory(w);
	if (v->no_area) {
		make(NOTHING + 0x10000, 0x1000);
		fill(NOTHING + 0x10000, 0x1000, 1);
		image_pages_add(w, NOTHING + 0x10000, 0x1000, 0);
	}
	make_files(w);
	image_pages_write(w, NULL);
	errno = -image_writer_finish(w, &h);
	need(errno == 0, "image");
	image_writer_close(w);
}

/* ---- the plan ---- */

static struct image_jump jump_to(uint64_t index)
{
	return (struct image_jump){
		.rbx = DATA,
		.r12 = index,
		.rip = CODE,
		.rsp = STACKS + (index % 16 + 1) * STACK_SIZE - 64,
	};
}

static void plan_threads(const struct variant *v)
{
	struct bare_thread *t = scratch(NULL, SURVIVOR_THREADS * sizeof(*t));
	int tid = getpid(), limit = 32768;
	unsigned i;

	survivor->expect = v->threads + (v->leader_dead ? 0 : 1);
	survivor->checker = v->leader_dead;
	survivor->tids[0] = tid;
	/* Far behind the pids in use, hopefully. */
	for (i = 0; i < v->threads; i++) {
		do {
			tid = (tid + 1237) % limit;
		} while (tid < 300 || kill(tid, 0) == 0);
		t[i] = (struct bare_thread){.tid = tid,
					    .jump = jump_to(i + 1)};
		survivor->tids[i + 1] = tid;
	}
	plan->threads = t;
	plan->thread_count = v->threads;
	plan->leader = jump_to(0);
	plan->service = jump_to(SURVIVOR_SERVICE);
	plan->leader_dead = v->leader_dead;
}

/* From /proc/self/maps. */
static uint64_t special(const char *name, uint64_t *length)
{
	FILE *f = fopen("/proc/self/maps", "re");
	unsigned long start, end, first = 0, last = 0;
	char line[512];

	need(f != NULL, "maps");
	while (fgets(line, sizeof(line), f)) {
		if (!strstr(line, name) ||
		    sscanf(line, "%lx-%lx", &start, &end) != 2)
			continue;
		first = first ? first : start;
		last = end;
	}
	fclose(f);
	*length = last - first;
	return first;
}

static uint64_t vdso_clock(const char *vdso)
{
	const Elf64_Ehdr *e = (const void *)vdso;
	const Elf64_Shdr *sh = (const void *)(vdso + e->e_shoff);
	const Elf64_Sym *sym;
	unsigned i, n;

	for (i = 0; i < e->e_shnum; i++) {
		if (sh[i].sh_type != SHT_DYNSYM)
			continue;
		sym = (const void *)(vdso + sh[i].sh_offset);
		for (n = 0; n < sh[i].sh_size / sizeof(*sym); n++)
			if (strcmp(vdso + sh[sh[i].sh_link].sh_offset +
					   sym[n].st_name,
				   "__vdso_clock_gettime") == 0)
				return sym[n].st_value;
	}
	return 0;
}

static void plan_vdso(const struct variant *v)
{
	uint64_t vdso, vdso_length, vvar_length;
	char *copy;

	vdso = special("[vdso]", &vdso_length);
	special("[vvar", &vvar_length);
	if (v->vdso == 0 || !vdso)
		return;
	copy = scratch(at(vdso), vdso_length);
	if (v->vdso == 2) /* nobody reads this field */
		((Elf64_Ehdr *)(void *)copy)->e_flags = 77;
	plan->old_vdso = copy;
	plan->old_vdso_at = OLD_VDSO + vvar_length;
	plan->old_vdso_length = vdso_length;
	plan->old_vvar_at = OLD_VDSO;
	plan->old_vvar_length = vvar_length;
	survivor->clock = plan->old_vdso_at + vdso_clock(copy);
}

static int by_address(const void *a, const void *b)
{
	const struct bare_area *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

static void plan_memory(const struct variant *v, int fd)
{
	struct image_reader r;
	char path[64];
	size_t buffers;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	errno = -image_reader_open(&r, AT_FDCWD, path);
	need(errno == 0, r.error);
	errno = -image_reader_verify_blocks(&r, 2);
	need(errno == 0, r.error);
	qsort(areas, area_count, sizeof(*areas), by_address);
	plan->areas = scratch(areas, sizeof(areas));
	plan->area_count = area_count;
	plan->block_count = r.header.block_count;
	plan->blocks = scratch(r.blocks, plan->block_count *
						 sizeof(*r.blocks));
	plan->extents = scratch(r.extents, r.header.extent_count *
						   sizeof(*r.extents));
	buffers = (SCRATCH_SIZE - 0x300000) & ~0xffful;
	plan->buffers = SCRATCH + 0x300000;
	plan->buffers_length = buffers;
	plan->fill_threads = v->fill_threads;
	plan->image_fd = fd;
	plan->lazy = (uint32_t)v->lazy;
	image_reader_close(&r);
	if (v->damage) {
		char byte;
		off_t where = (off_t)plan->blocks[3].offset + 7;

		need(pread(fd, &byte, 1, where) == 1, "pread");
		byte ^= 4;
		need(pwrite(fd, &byte, 1, where) == 1, "pwrite");
	}
}

static void plan_auxv(void)
{
	uint64_t auxv[64];
	int fd = open("/proc/self/auxv", O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, auxv, sizeof(auxv));

	need(n > 0, "auxv");
	plan->auxv = scratch(auxv, (size_t)n);
	plan->auxv_length = (uint64_t)n;
	close(fd);
	plan->exe_fd = -1;
	plan->mm = (struct image_mm){
		.start_code = CODE, .end_code = CODE + 0x1000,
		.start_data = DATA, .end_data = DATA + 0x1000,
		.start_brk = HEAP, .brk = HEAP + HEAP_SIZE,
		.start_stack = DOWN + 0x1000,
		.arg_start = DOWN, .arg_end = DOWN + 16,
		.env_start = DOWN + 16, .env_end = DOWN + 32,
	};
}

#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 35)
#include <sys/rseq.h>
static void plan_rseq(void)
{
	if (__rseq_size == 0)
		return;
	plan->rseq = (uintptr_t)__builtin_thread_pointer() +
		     (uint64_t)__rseq_offset;
	plan->rseq_length = 32;
	plan->rseq_signature = RSEQ_SIG;
}
#else
static void plan_rseq(void)
{
}
#endif

/* In the child: never comes back. */
static void be_reborn(const struct variant *v, int result, int error)
{
	int image = temporary(0), *fds;
	char *blob;

	survivor = make(DATA, 0x10000);
	make(SCRATCH, SCRATCH_SIZE);
	scratch_at = at(SCRATCH);
	blob = scratch(restore_blob,
		       (size_t)(restore_blob_end - restore_blob));
	plan = scratch(NULL, sizeof(*plan));
	plan->scratch = SCRATCH;
	plan->scratch_length = SCRATCH_SIZE;
	plan->stack_top = SCRATCH + 0x300000;
	plan->error_fd = error;
	survivor->result_fd = result;
	survivor->pid = getpid();
	survivor->brk = HEAP + HEAP_SIZE;
	survivor->closed_fd = image;
	survivor->gone = NOTHING;
	make(NOTHING, 0x1000);
	plan->rebirth.life = 7;
	plan->rebirth_at = DATA + __builtin_offsetof(struct survivor, rebirth);
	plan_threads(v);
	plan_vdso(v);
	plan_auxv();
	plan_rseq();
	write_image(v, image);
	plan_memory(v, image);
	fds = scratch(NULL, 2 * sizeof(*fds));
	fds[0] = image;
	fds[1] = error;
	plan->close_fds = fds;
	plan->close_count = 2;
	need(mprotect(blob, 0x20000, PROT_READ | PROT_WRITE | PROT_EXEC) == 0,
	     "mprotect");
	((bare_entry *)(void *)blob)(plan);
}

/* What became of it; the line that it left, if any. */
static int run(const struct variant *v, char *line, size_t size)
{
	int result[2], error[2], status, answer = -1;
	ssize_t n;
	pid_t pid;

	ck_assert_int_eq(pipe(result), 0);
	ck_assert_int_eq(pipe(error), 0);
	pid = fork();
	if (pid == 0) {
		close(result[0]);
		close(error[0]);
		be_reborn(v, result[1], error[1]);
		_exit(1);
	}
	close(result[1]);
	close(error[1]);
	n = read(error[0], line, size - 1);
	line[n > 0 ? n : 0] = 0;
	if (read(result[0], &answer, sizeof(answer)) != sizeof(answer))
		answer = -1;
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	close(result[0]);
	close(error[0]);
	if (WIFSIGNALED(status))
		return -WTERMSIG(status);
	if (answer >= 0)
		ck_assert_int_eq(answer, WEXITSTATUS(status));
	return WEXITSTATUS(status);
}

static void survives(struct variant v)
{
	char line[256];
	int result;

	if (geteuid() != 0)
		v.threads = 0; /* tids may not be chosen */
	result = run(&v, line, sizeof(line));
	ck_assert_msg(result == SURVIVED && !line[0], "result %d: %s", result,
		      line);
}

START_TEST(one_thread)
{
	survives((struct variant){.fill_threads = 1});
}
END_TEST

START_TEST(many_threads)
{
	survives((struct variant){.fill_threads = 4, .threads = 8});
}
END_TEST

START_TEST(without_leader)
{
	if (geteuid() == 0)
		survives((struct variant){.fill_threads = 1, .threads = 3,
					  .leader_dead = 1});
}
END_TEST

START_TEST(all_compressed)
{
	survives((struct variant){.fill_threads = 2, .compress = 1});
}
END_TEST

START_TEST(nothing_compressed)
{
	survives((struct variant){.fill_threads = 2, .compress = 2});
}
END_TEST

START_TEST(lazily)
{
	survives((struct variant){.fill_threads = 2, .compress = 2,
				  .lazy = 1, .threads = 2});
}
END_TEST

START_TEST(same_vdso)
{
	survives((struct variant){.fill_threads = 1, .vdso = 1});
}
END_TEST

START_TEST(other_vdso)
{
	survives((struct variant){.fill_threads = 1, .vdso = 2});
}
END_TEST

static void fails(struct variant v, const char *why)
{
	char line[256];
	int result = run(&v, line, sizeof(line));

	ck_assert_int_eq(result, 99);
	ck_assert_msg(strstr(line, why) != NULL, "says: %s", line);
}

START_TEST(damaged_block)
{
	fails((struct variant){.fill_threads = 2, .damage = 1},
	      "damaged image");
}
END_TEST

START_TEST(page_of_no_area)
{
	fails((struct variant){.fill_threads = 2, .no_area = 1},
	      "outside of all areas");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("bare");
	TCase *test = tcase_create("bare");
	SRunner *runner;
	int failed;

	tcase_add_test(test, one_thread);
	tcase_add_test(test, many_threads);
	tcase_add_test(test, without_leader);
	tcase_add_test(test, all_compressed);
	tcase_add_test(test, nothing_compressed);
	tcase_add_test(test, lazily);
	tcase_add_test(test, same_vdso);
	tcase_add_test(test, other_vdso);
	tcase_add_test(test, damaged_block);
	tcase_add_test(test, page_of_no_area);
	suite_add_tcase(suite, test);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
