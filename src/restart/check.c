/* SPDX-License-Identifier: MIT */
/*
 * Can this machine, this user and this kernel take the job? Every refusal
 * names the cause and what to do; nothing has been created yet.
 */
#define _GNU_SOURCE
#include "restart/job.h"

#include <cpuid.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/resource.h>
#include <unistd.h>

#include "restart/credentials.h"
#include "restart/say.h"

/* The bits of CPUID that a program can use; privileged, informative and
 * mitigation bits may differ. */
static const struct feature {
	const char *name;
	enum word { LEAF1_ECX, LEAF1_EDX, LEAF7_EBX, LEAF7_ECX, LEAF7_EDX,
		    EXT1_ECX, WORDS } word;
	unsigned bit;
} features[] = {
	{"sse3", LEAF1_ECX, 0},		{"pclmulqdq", LEAF1_ECX, 1},
	{"ssse3", LEAF1_ECX, 9},	{"fma", LEAF1_ECX, 12},
	{"cx16", LEAF1_ECX, 13},	{"sse4_1", LEAF1_ECX, 19},
	{"sse4_2", LEAF1_ECX, 20},	{"movbe", LEAF1_ECX, 22},
	{"popcnt", LEAF1_ECX, 23},	{"aes", LEAF1_ECX, 25},
	{"xsave", LEAF1_ECX, 27},	{"avx", LEAF1_ECX, 28},
	{"f16c", LEAF1_ECX, 29},	{"rdrand", LEAF1_ECX, 30},
	{"cmov", LEAF1_EDX, 15},	{"mmx", LEAF1_EDX, 23},
	{"sse", LEAF1_EDX, 25},		{"sse2", LEAF1_EDX, 26},
	{"fsgsbase", LEAF7_EBX, 0},	{"bmi1", LEAF7_EBX, 3},
	{"hle", LEAF7_EBX, 4},		{"avx2", LEAF7_EBX, 5},
	{"bmi2", LEAF7_EBX, 8},		{"rtm", LEAF7_EBX, 11},
	{"avx512f", LEAF7_EBX, 16},	{"avx512dq", LEAF7_EBX, 17},
	{"rdseed", LEAF7_EBX, 18},	{"adx", LEAF7_EBX, 19},
	{"avx512ifma", LEAF7_EBX, 21},	{"clflushopt", LEAF7_EBX, 23},
	{"clwb", LEAF7_EBX, 24},	{"avx512pf", LEAF7_EBX, 26},
	{"avx512er", LEAF7_EBX, 27},	{"avx512cd", LEAF7_EBX, 28},
	{"sha_ni", LEAF7_EBX, 29},	{"avx512bw", LEAF7_EBX, 30},
	{"avx512vl", LEAF7_EBX, 31},	{"avx512vbmi", LEAF7_ECX, 1},
	{"pku", LEAF7_ECX, 4},		{"waitpkg", LEAF7_ECX, 5},
	{"avx512_vbmi2", LEAF7_ECX, 6},	{"gfni", LEAF7_ECX, 8},
	{"vaes", LEAF7_ECX, 9},		{"vpclmulqdq", LEAF7_ECX, 10},
	{"avx512_vnni", LEAF7_ECX, 11}, {"avx512_bitalg", LEAF7_ECX, 12},
	{"avx512_vpopcntdq", LEAF7_ECX, 14},
	{"rdpid", LEAF7_ECX, 22},	{"cldemote", LEAF7_ECX, 25},
	{"movdiri", LEAF7_ECX, 27},	{"movdir64b", LEAF7_ECX, 28},
	{"avx512_4vnniw", LEAF7_EDX, 2}, {"avx512_4fmaps", LEAF7_EDX, 3},
	{"avx512_vp2intersect", LEAF7_EDX, 8},
	{"serialize", LEAF7_EDX, 14},	{"amx_bf16", LEAF7_EDX, 22},
	{"avx512_fp16", LEAF7_EDX, 23}, {"amx_tile", LEAF7_EDX, 24},
	{"amx_int8", LEAF7_EDX, 25},	{"lzcnt", EXT1_ECX, 5},
	{"sse4a", EXT1_ECX, 6},		{"xop", EXT1_ECX, 11},
	{"fma4", EXT1_ECX, 16},		{"tbm", EXT1_ECX, 21},
};

static uint64_t read_xcr0(void)
{
	uint32_t low, high;

	__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	return (uint64_t)high << 32 | low;
}

static void check_cpu(const struct job *job, const struct job_process *p)
{
	const struct image_cpu *then = p->cpu, *first = job_root(job)->cpu;
	unsigned a, b, c, d, now[WORDS] = {0}, old[WORDS];
	char missing[512] = "";
	uint64_t xcr0;
	size_t i;

	if (!then)
		return;
	/* All of a job mostly ran on one machine. */
	if (p != job_root(job) && first &&
	    memcmp(then, first, sizeof(*then)) == 0)
		return;
	if (__get_cpuid(1, &a, &b, &c, &d)) {
		now[LEAF1_ECX] = c;
		now[LEAF1_EDX] = d;
	}
	if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
		now[LEAF7_EBX] = b;
		now[LEAF7_ECX] = c;
		now[LEAF7_EDX] = d;
	}
	if (__get_cpuid(0x80000001, &a, &b, &c, &d))
		now[EXT1_ECX] = c;
	old[LEAF1_ECX] = then->leaf1_ecx;
	old[LEAF1_EDX] = then->leaf1_edx;
	old[LEAF7_EBX] = then->leaf7_ebx;
	old[LEAF7_ECX] = then->leaf7_ecx;
	old[LEAF7_EDX] = then->leaf7_edx;
	old[EXT1_ECX] = then->ext1_ecx;
	for (i = 0; i < sizeof(features) / sizeof(*features); i++) {
		uint32_t bit = 1u << features[i].bit;
		size_t length = strlen(missing);

		if ((old[features[i].word] & bit) &&
		    !(now[features[i].word] & bit))
			snprintf(missing + length, sizeof(missing) - length,
				 " %s", features[i].name);
	}
	if (*missing)
		fail("%s: this CPU lacks what the program's libraries chose to use at its start:%s; restart it on a machine that has it",
		     p->name, missing);
	if (!(now[LEAF1_ECX] & 1u << 27))
		return;
	xcr0 = read_xcr0();
	if (then->xcr0 & ~xcr0)
		fail("%s: the kernel or CPU here does not keep all registers that the program had (XCR0 %llx, needed %llx); restart it on a machine that does",
		     p->name, (unsigned long long)xcr0,
		     (unsigned long long)then->xcr0);
}

/* An image is a program, and runs as us. */
static void check_owner(const struct job_process *p)
{
	if (p->owner != geteuid() && p->owner != 0)
		fail("%s belongs to uid %u, you are uid %u: restart only what you trust, from a copy of your own (cp -r)",
		     p->name, p->owner, geteuid());
	/* Of these the manifest tells who they were: credentials_check(). */
	if (p->process->uid == geteuid() || p->ids_count)
		return;
	fail("%s: the program ran as uid %u, you are uid %u: restart it as that user",
	     p->name, p->process->uid, geteuid());
}

static void check_kernel(void)
{
	unsigned size = 0;

	/* glibc has no PR_SET_MM_MAP_SIZE in old headers: 15. */
	if (prctl(PR_SET_MM, 15, &size, 0, 0) < 0)
		fail("this kernel cannot give a process its old memory layout back (PR_SET_MM_MAP: %s): it needs CONFIG_CHECKPOINT_RESTORE",
		     strerror(errno));
}

static void check_page_size(const struct job_process *p)
{
	long size = sysconf(_SC_PAGESIZE);

	if (p->reader.header.page_size != (uint32_t)size)
		fail("%s: it was made with pages of %u bytes, this kernel has %ld: restart it on a like kernel",
		     p->name, p->reader.header.page_size, size);
}

static void check_ids(const struct job *job)
{
	const int32_t max = ids_limit();
	size_t i, j;

	for (i = 0; i < job->process_count; i++) {
		const struct job_process *p = &job->processes[i];

		for (j = 0; j < p->thread_count; j++)
			if (p->threads[j].record->tid >= max)
				fail("%s: it has thread id %d, and ids end at %d here: raise the limit, e.g. sysctl kernel.pid_max=4194304",
				     p->name, p->threads[j].record->tid, max);
	}
}

/* "MemAvailable:   123 kB" of /proc/meminfo, in bytes. */
static uint64_t meminfo(const char *text, const char *key)
{
	const char *line = strstr(text, key);

	return line ? strtoull(line + strlen(key), NULL, 10) * 1024 : 0;
}

static int read_text(const char *path, char *text, size_t size)
{
	FILE *f = fopen(path, "re");
	size_t length;

	if (!f)
		return -errno;
	length = fread(text, 1, size - 1, f);
	text[length] = 0;
	fclose(f);
	return 0;
}

/* What the own cgroup (v2) and those above it still allow. */
static uint64_t cgroup_free(void)
{
	char line[1024], path[1200], text[64], *slash;
	uint64_t least = UINT64_MAX, max, used;

	if (read_text("/proc/self/cgroup", line, sizeof(line)) < 0 ||
	    strncmp(line, "0::/", 4) != 0)
		return least;
	line[strcspn(line, "\n")] = 0;
	for (;;) {
		snprintf(path, sizeof(path), "/sys/fs/cgroup%s/memory.max",
			 line + 3);
		if (read_text(path, text, sizeof(text)) == 0 && *text != 'm') {
			max = strtoull(text, NULL, 10);
			snprintf(path, sizeof(path),
				 "/sys/fs/cgroup%s/memory.current", line + 3);
			used = read_text(path, text, sizeof(text)) == 0
				       ? strtoull(text, NULL, 10)
				       : 0;
			if (max - (used < max ? used : max) < least)
				least = max - (used < max ? used : max);
		}
		slash = strrchr(line + 3, '/');
		if (!slash || slash == line + 3)
			return least;
		*slash = 0;
	}
}

static void check_memory(const struct job *job)
{
	uint64_t need = 0, available, allowed = cgroup_free();
	char text[4096];
	size_t i;

	for (i = 0; i < job->process_count; i++)
		need += job->processes[i].reader.header.raw_bytes;
	if (read_text("/proc/meminfo", text, sizeof(text)) < 0)
		return;
	available = meminfo(text, "MemAvailable:") + meminfo(text, "SwapFree:");
	if (available && need > available)
		fail("the program needs %llu MiB of memory, %llu MiB are available here: free some, or add swap",
		     (unsigned long long)need >> 20,
		     (unsigned long long)available >> 20);
	/* memory.current counts page cache, which gives way: be generous. */
	if (allowed < UINT64_MAX && need > allowed + (allowed >> 1) + (64 << 20))
		fail("the program needs %llu MiB of memory, its control group has %llu MiB left: raise memory.max",
		     (unsigned long long)need >> 20,
		     (unsigned long long)allowed >> 20);
}

static void check_folder(const struct job_process *p)
{
	struct stat st;

	if (!p->cwd_path || p->cwd->deleted)
		return;
	if (stat(p->cwd_path, &st) < 0)
		fail("the program's working directory %s: %s: make it again (mkdir -p)",
		     p->cwd_path, strerror(errno));
	if (!S_ISDIR(st.st_mode) || access(p->cwd_path, X_OK) < 0)
		fail("the program's working directory %s cannot be entered: make it a directory of yours again",
		     p->cwd_path);
}

/* Theirs and the few of ours. */
static void check_descriptors(const struct job_process *p)
{
	struct rlimit limit;
	int highest = p->fd_count ? p->fds[p->fd_count - 1]->fd : 0;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 ||
	    (rlim_t)highest + 1 < limit.rlim_max)
		return;
	fail("the program has descriptor %d, and the limit is %llu here: raise it (ulimit -Hn)",
	     highest, (unsigned long long)limit.rlim_max);
}

void check_machine(struct job *job)
{
	size_t i;

	check_kernel();
	credentials_check(job);
	for (i = 0; i < job->process_count; i++) {
		check_owner(&job->processes[i]);
		check_page_size(&job->processes[i]);
		check_cpu(job, &job->processes[i]);
		check_folder(&job->processes[i]);
		check_descriptors(&job->processes[i]);
	}
	check_ids(job);
	check_memory(job);
}
