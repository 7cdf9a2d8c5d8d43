/* SPDX-License-Identifier: MIT */
/*
 * Memory of every kind that one process can have. Notes what /proc/self/smaps
 * says of each mapping (place, protection, flags) and what it holds; compares
 * when the gate file exists.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif
#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif
#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

static int bad;
static size_t page = 4096;

#define expect(condition)                                                      \
	do {                                                                   \
		if (!(condition)) {                                            \
			printf("WRONG: line %d: %s\n", __LINE__, #condition);  \
			bad = 1;                                               \
		}                                                              \
	} while (0)

static char *map(size_t length, int prot, int flags)
{
	char *p = mmap(NULL, length, prot, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);

	if (p == MAP_FAILED) {
		perror("mmap");
		exit(2);
	}
	return p;
}

/* What the kernel says of our mappings: a line each, without what may differ.
 * Neighbours that are alike are one: some merge only when they are made anew. */
static char *layout(void)
{
	static char line[8192];
	size_t length = 0, last = 0, room = 1 << 20;
	char *text = malloc(room), head[512] = "", same[1024] = "";
	unsigned long start = 0, end = 0, offset, inode, first = 0, edge = 0;
	FILE *f = fopen("/proc/self/smaps", "r");
	int skip = 0, anonymous = 0;

	while (fgets(line, sizeof(line), f)) {
		char perms[8], device[16], now[1024], *name, *sticky;
		unsigned long from, to;
		int at = 0;

		if (sscanf(line, "%lx-%lx %7s %lx %15s %lu %n", &from, &to, perms,
			   &offset, device, &inode, &at) >= 6) {
			start = from;
			end = to;
			name = line + at;
			/* [heap] and [stack] grow by our own doing */
			skip = strstr(name, "[v") || strstr(name, "registry") ||
			       strstr(name, "[stack]") || strstr(name, "[heap]");
			name[strcspn(name, "\n")] = 0;
			if (strchr(name, '(')) /* unlinked: it may have another */
				*name = 0;
			anonymous = !*name;
			snprintf(head, sizeof(head), "%s %lx %.300s", perms, offset,
				 name);
		} else if (!strncmp(line, "VmFlags:", 8) && !skip) {
			/* "may hold guards" sticks when mappings merge */
			sticky = strstr(line, " gu");
			if (sticky)
				memmove(sticky, sticky + 3, strlen(sticky + 3) + 1);
			snprintf(now, sizeof(now), "%s%.400s", head, line + 7);
			if (anonymous && edge == start && !strcmp(same, now)) {
				length = last;
				start = first;
			}
			last = length;
			first = start;
			edge = end;
			strcpy(same, now);
			length += (size_t)snprintf(text + length, room - length,
						   "%lx-%lx %s", start, end, now);
		}
	}
	fclose(f);
	return text;
}

static sigjmp_buf back;

static void faulted(int signal)
{
	(void)signal;
	siglongjmp(back, 1);
}

static int faults(volatile char *p)
{
	if (sigsetjmp(back, 1))
		return 1;
	(void)*p;
	return 0;
}

int main(int argc, char **argv)
{
	char *none, *huge, *noreserve, *guarded, *thp, *locked, *dontfork, *wipe;
	char *private_file, *shared_file, *unlinked, *unlinked_shared, *twice[2];
	char *anon_shared, *readonly, *jit, *named, *sparse, *dump, *grows;
	char path[4096], *before, *after;
	int fd, memory, has_guard, has_huge;

	(void)argc;
	signal(SIGSEGV, faulted);
	none = map(8 * page, PROT_READ | PROT_WRITE, 0);
	strcpy(none + 3 * page, "behind PROT_NONE");
	mprotect(none, 8 * page, PROT_NONE);
	huge = map(1ull << 42, PROT_NONE, MAP_NORESERVE); /* 4 TiB, as Java and Go */
	mprotect(huge + (1ull << 41), 4 * page, PROT_READ | PROT_WRITE);
	strcpy(huge + (1ull << 41) + page, "an island");
	noreserve = map(1ull << 36, PROT_READ | PROT_WRITE, MAP_NORESERVE);
	strcpy(noreserve + (1ull << 35), "far out");
	guarded = map(8 * page, PROT_READ | PROT_WRITE, 0);
	memset(guarded, 'g', 8 * page);
	has_guard = madvise(guarded + 2 * page, page, MADV_GUARD_INSTALL) == 0;
	thp = map(8 << 20, PROT_READ | PROT_WRITE, 0);
	madvise(thp, 4 << 20, MADV_HUGEPAGE);
	madvise(thp + (4 << 20), 4 << 20, MADV_NOHUGEPAGE);
	memset(thp, 't', 8 << 20);
	locked = map(4 * page, PROT_READ | PROT_WRITE, 0);
	mlock(locked, 4 * page);
	strcpy(locked, "locked");
	dontfork = map(4 * page, PROT_READ | PROT_WRITE, 0);
	madvise(dontfork, 4 * page, MADV_DONTFORK);
	strcpy(dontfork, "not for children");
	wipe = map(4 * page, PROT_READ | PROT_WRITE, 0);
	madvise(wipe, 4 * page, MADV_WIPEONFORK);
	strcpy(wipe, "wiped in children");
	dump = map(4 * page, PROT_READ | PROT_WRITE, 0);
	madvise(dump, 4 * page, MADV_DONTDUMP);
	madvise(dump, page, MADV_SEQUENTIAL);
	madvise(dump + page, page, MADV_RANDOM);
	strcpy(dump, "secret");
	grows = map(64 * page, PROT_READ | PROT_WRITE, MAP_GROWSDOWN);
	strcpy(grows + 60 * page, "growing down");
	named = map(page, PROT_READ | PROT_WRITE, 0);
	prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, named, page, "a name");
	strcpy(named, "named");
	sparse = map(1024 * page, PROT_READ | PROT_WRITE, 0);
	for (size_t i = 0; i < 1024; i += 7)
		memcpy(sparse + i * page, &i, sizeof(i));
	jit = map(page, PROT_READ | PROT_WRITE, 0);
	memcpy(jit, "\xb8\x2a\x00\x00\x00\xc3", 6); /* mov $42,%eax; ret */
	mprotect(jit, page, PROT_READ | PROT_EXEC);

	snprintf(path, sizeof(path), "%s/mapped", argv[2]);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	for (int i = 0; i < 16; i++) {
		char block[4096];

		memset(block, 'a' + i, sizeof(block));
		if (write(fd, block, sizeof(block)) != sizeof(block))
			return 2;
	}
	private_file = mmap(NULL, 16 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	private_file[5 * page] = '!';
	readonly = mmap(NULL, 4 * page, PROT_READ, MAP_PRIVATE, fd, 4 * page);
	shared_file = mmap(NULL, 16 * page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	shared_file[7 * page] = '?';
	close(fd);
	snprintf(path, sizeof(path), "%s/unlinked", argv[2]);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (ftruncate(fd, (off_t)(3 * page)) || pwrite(fd, "from the file", 13, 0) != 13)
		return 2;
	unlinked = mmap(NULL, 3 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	unlinked_shared = mmap(NULL, 3 * page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	strcpy(unlinked + page, "changed");
	strcpy(unlinked_shared + 2 * page, "shared");
	close(fd);
	unlink(path);
	memory = memfd_create("twice", 0);
	if (ftruncate(memory, (off_t)(4 * page)))
		return 2;
	twice[0] = mmap(NULL, 4 * page, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
	twice[1] = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_SHARED, memory,
			(off_t)(2 * page));
	close(memory);
	strcpy(twice[0] + 2 * page, "seen twice");
	anon_shared = mmap(NULL, 4 * page, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	strcpy(anon_shared + page, "shared with nobody yet");
	fd = -1;
	{
		char *p = mmap(NULL, 2 << 20, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);

		has_huge = p != MAP_FAILED;
		if (has_huge)
			strcpy(p, "huge");
	}
	before = layout();
	free(layout()); /* whatever malloc needed, it has */
	free(before);
	before = layout();
	puts("ready");
	fflush(stdout);
	while (access(argv[1], F_OK) != 0)
		usleep(1000);
	after = layout();
	for (char *p = before, *q = after; *p || *q;) {
		int m = (int)strcspn(p, "\n"), n = (int)strcspn(q, "\n");

		if (m != n || memcmp(p, q, (size_t)m)) {
			printf("WRONG: was %.*s\n       is  %.*s\n", m, p, n, q);
			bad = 1;
			if (strncmp(p, q, 12) < 0) {
				p += m + (p[m] == '\n');
				continue;
			}
			if (strncmp(p, q, 12) > 0) {
				q += n + (q[n] == '\n');
				continue;
			}
		}
		p += m + (p[m] == '\n');
		q += n + (q[n] == '\n');
	}
	expect(faults(none + 3 * page));
	mprotect(none, 8 * page, PROT_READ);
	expect(!strcmp(none + 3 * page, "behind PROT_NONE"));
	expect(faults(huge));
	expect(!strcmp(huge + (1ull << 41) + page, "an island"));
	expect(!strcmp(noreserve + (1ull << 35), "far out"));
	expect(noreserve[page] == 0);
	expect(guarded[page] == 'g' && guarded[3 * page] == 'g');
	expect(!has_guard || faults(guarded + 2 * page));
	expect(thp[0] == 't' && thp[(8 << 20) - 1] == 't');
	expect(!strcmp(locked, "locked") && !strcmp(dontfork, "not for children"));
	expect(!strcmp(wipe, "wiped in children") && !strcmp(dump, "secret"));
	expect(!strcmp(grows + 60 * page, "growing down"));
	expect(!strcmp(named, "named"));
	for (size_t i = 0; i < 1024; i++) {
		size_t value = i % 7 ? 0 : i;

		expect(!memcmp(sparse + i * page, &value, sizeof(value)));
	}
	expect(((int (*)(void))(uintptr_t)jit)() == 42);
	expect(private_file[5 * page] == '!' && private_file[6 * page] == 'g');
	expect(readonly[0] == 'e');
	expect(shared_file[7 * page] == '?' && private_file[7 * page] == '?');
	shared_file[8 * page] = '+'; /* still the same file */
	expect(private_file[8 * page] == '+');
	expect(!memcmp(unlinked, "from the file", 13) && !strcmp(unlinked + page, "changed"));
	expect(!strcmp(unlinked_shared + 2 * page, "shared"));
	expect(!memcmp(unlinked_shared, "from the file", 13));
	expect(!strcmp(twice[1], "seen twice"));
	strcpy(twice[1] + page, "still one");
	expect(!strcmp(twice[0] + 3 * page, "still one"));
	expect(!strcmp(anon_shared + page, "shared with nobody yet"));
	{
		char *old = sbrk(0);

		expect(sbrk((intptr_t)page) == old); /* the heap can grow */
		strcpy(old, "new heap");
	}
	printf("done %s\n", bad ? "WRONG" : "ok");
	return bad;
}
