/* SPDX-License-Identifier: MIT */
/*
 * Locked memory stays locked, page by page or when it is touched, and so does
 * mlockall(MCL_FUTURE): what is mapped in the next life is locked too.
 */
#include "story.h"

#include <sched.h>
#include <sys/mman.h>

#define LENGTH (8ul << 12)

static char *map(void)
{
	char *p = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	check(p != MAP_FAILED);
	return p;
}

static long locked_kib(void)
{
	char line[256];
	long kib = -1;
	FILE *f = fopen("/proc/self/status", "re");

	check(f != NULL);
	while (fgets(line, sizeof(line), f))
		sscanf(line, "VmLck: %ld", &kib);
	fclose(f);
	return kib;
}

int main(void)
{
	char *now = map(), *touched = map(), *later;
	unsigned char there[LENGTH >> 12];
	long before;

	check(mlock(now, LENGTH) == 0);
	check(mlock2(touched, LENGTH, MLOCK_ONFAULT) == 0);
	check(mlockall(MCL_FUTURE) == 0);
	later = map();
	for (int life = 0; life < 2; life++) {
		before = locked_kib();
		check(before >= (long)(3 * LENGTH >> 10));
		story_ready();
		check(locked_kib() >= before);
		/* The end of the checkpoint may still be under way. */
		while (locked_kib() > before + 64)
			sched_yield();
		check(mincore(touched, LENGTH, there) == 0 && !(there[0] & 1));
		check(mincore(later, LENGTH, there) == 0 && (there[0] & 1));
		later = map();
		check(mincore(later, LENGTH, there) == 0 && (there[7] & 1));
	}
	return 0;
}
