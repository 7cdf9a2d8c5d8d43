/* SPDX-License-Identifier: MIT */
/*
 * Stands at its limits: every descriptor number taken and the limit lowered
 * below them, no larger files, hardly more address space, no more processes.
 * argv[1] names one.
 */
#include "story.h"

#include <sys/mman.h>
#include <sys/resource.h>

static void limit(int what, rlim_t soft)
{
	struct rlimit r;

	check(getrlimit(what, &r) == 0);
	r.rlim_cur = soft;
	check(setrlimit(what, &r) == 0);
}

static void expect_limit(int what, rlim_t soft)
{
	struct rlimit r;

	check(getrlimit(what, &r) == 0 && r.rlim_cur == soft);
}

static rlim_t address_space(void)
{
	unsigned long pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	check(f && fscanf(f, "%lu", &pages) == 1);
	fclose(f);
	return (pages << 12) + (64ul << 20);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	rlim_t as = address_space();
	char *memory = mmap(NULL, 8 << 20, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = -1, last = -1;

	check(memory != MAP_FAILED);
	memset(memory, 'm', 8 << 20);
	if (!strcmp(what, "descriptors")) {
		limit(RLIMIT_NOFILE, 64);
		while ((fd = open("/dev/null", O_RDONLY)) >= 0)
			last = fd;
		check(last == 63);
		limit(RLIMIT_NOFILE, 32);
	} else if (!strcmp(what, "files")) {
		limit(RLIMIT_FSIZE, 4096);
	} else if (!strcmp(what, "memory")) {
		limit(RLIMIT_AS, as);
	} else if (!strcmp(what, "processes")) {
		limit(RLIMIT_NPROC, 0);
	}
	if (last >= 0) /* the harness needs one, and has it open meanwhile */
		close(20);
	story_ready();
	for (int i = 0; i < 8 << 20; i += 512)
		check(memory[i] == 'm');
	if (last >= 0) {
		expect_limit(RLIMIT_NOFILE, 32);
		for (fd = 3; fd <= last; fd++)
			check(fcntl(fd, F_GETFD) >= 0 || fd == 20);
	} else if (!strcmp(what, "files")) {
		expect_limit(RLIMIT_FSIZE, 4096);
	} else if (!strcmp(what, "memory")) {
		expect_limit(RLIMIT_AS, as);
	}
	return 0;
}
