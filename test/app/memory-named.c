/* SPDX-License-Identifier: MIT */
/*
 * Shared memory with a name, and a mapped file: what is written to them after
 * the checkpoint, which their times do not show, is taken back.
 */
#include "story.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

static char *map(int fd)
{
	struct timespec past[2] = {{.tv_sec = 1000000}, {.tv_sec = 1000000}};
	char *p;

	check(fd >= 0 && ftruncate(fd, 8192) == 0);
	p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	check(p != MAP_FAILED);
	p[0] = p[5000] = 'a';
	check(futimens(fd, past) == 0);
	close(fd);
	return p;
}

static void use(char *p)
{
	check(p[0] == 'a' && p[5000] == 'a');
	p[0] = 'b';
	p[5000] = 'c';
}

int main(int argc, char **argv)
{
	char *memory, *file;

	check(argc == 2);
	memory = map(shm_open(argv[1], O_RDWR | O_CREAT | O_EXCL, 0600));
	file = map(open("mapped", O_RDWR | O_CREAT | O_EXCL, 0600));
	story_ready();
	use(memory);
	use(file);
	story_ready();
	check(memory[0] == 'b' && memory[5000] == 'c');
	check(shm_unlink(argv[1]) == 0);
	return 0;
}
