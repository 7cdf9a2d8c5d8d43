/* SPDX-License-Identifier: MIT */
/* A memfd that is sealed against new writers while it is mapped shared; later
 * it is unmapped. */
#include "story.h"

#include <sys/mman.h>

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x10
#endif

int main(void)
{
	int fd = memfd_create("sealed", MFD_ALLOW_SEALING);
	char *memory;

	check(fd >= 0 && ftruncate(fd, 4096) == 0);
	memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	check(memory != MAP_FAILED);
	check(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE) == 0);
	strcpy(memory, "content");
	story_ready();
	strcat(memory, " and more");
	check(munmap(memory, 4096) == 0);
	story_ready();
	memory = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
	check(memory != MAP_FAILED && !strcmp(memory, "content and more"));
	check(fcntl(fd, F_GET_SEALS) == F_SEAL_FUTURE_WRITE);
	check(write(fd, "x", 1) < 0 && errno == EPERM);
	return 0;
}
