/* SPDX-License-Identifier: MIT */
/* A process whose /proc belongs to root, by its own will. */
#include "story.h"

#include <sys/mman.h>
#include <sys/prctl.h>

int main(void)
{
	char *none = mmap(NULL, 8192, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	check(none != MAP_FAILED);
	strcpy(none, "kept");
	check(mprotect(none, 4096, PROT_NONE) == 0);
	check(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0);
	for (int life = 0; life < 2; life++) {
		story_ready();
		check(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0);
		check(mprotect(none, 4096, PROT_READ) == 0);
		check(!strcmp(none, "kept"));
		check(mprotect(none, 4096, PROT_NONE) == 0);
	}
	return 0;
}
