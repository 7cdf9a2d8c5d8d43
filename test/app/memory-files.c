/* SPDX-License-Identifier: MIT */
/*
 * Mapped files in odd places: names with a newline and with what the kernel
 * appends to deleted ones, mappings that reach beyond the end of an unlinked
 * file, a file replaced by another one of its name, a private memfd.
 */
#include "story.h"

#include <signal.h>
#include <setjmp.h>
#include <sys/mman.h>

#define PAGE 4096

static sigjmp_buf back;

static void faulted(int number)
{
	siglongjmp(back, number);
}

static int faults(volatile char *p)
{
	if (sigsetjmp(back, 1))
		return 1;
	(void)*p;
	return 0;
}

static int make(const char *name, const char *text, char path[4096])
{
	int fd;

	story_path(path, 4096, name);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	check(fd >= 0);
	check(pwrite(fd, text, strlen(text), PAGE) == (ssize_t)strlen(text));
	return fd;
}

static char *map(int fd, int flags)
{
	char *p = mmap(NULL, 6 * PAGE, PROT_READ | PROT_WRITE, flags, fd, 0);

	check(p != MAP_FAILED);
	p[0] = 'c';
	close(fd);
	return p;
}

/* Byte 0 was changed in memory, the text stands in the second page, and the
 * third is behind the end of the file. */
static void expect(char *p, const char *text)
{
	check(p[0] == 'c');
	check(!strcmp(p + PAGE, text));
}

int main(void)
{
	char *zeros, *newline, *named, *gone, *gone_shared, *replaced, *memory;
	char path[4096], other[4096];
	int fd;

	signal(SIGBUS, faulted);
	newline = map(make("new\nline", "newline", path), MAP_PRIVATE);
	named = map(make("x (deleted)", "no, it is not", path), MAP_SHARED);
	fd = make("gone", "gone", path);
	gone = map(dup(fd), MAP_PRIVATE);
	gone_shared = map(fd, MAP_SHARED);
	unlink(path);
	replaced = map(make("replaced", "the former one", path), MAP_PRIVATE);
	close(make("new", "the later one", other));
	check(rename(other, path) == 0);
	memory = map(({
			     int m = memfd_create("private", 0);

			     check(ftruncate(m, 3 * PAGE) == 0);
			     check(pwrite(m, "in memory", 9, PAGE) == 9);
			     m;
		     }),
		     MAP_PRIVATE);
	fd = open("/dev/zero", O_RDONLY);
	zeros = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
	check(zeros != MAP_FAILED && close(fd) == 0);
	check(faults(gone + 3 * PAGE) && faults(gone_shared + 3 * PAGE));
	for (int life = 0; life < 2; life++) {
		story_ready();
		expect(newline, "newline");
		expect(named, "no, it is not");
		expect(gone, "gone");
		expect(gone_shared, "gone");
		expect(replaced, "the former one");
		expect(memory, "in memory");
		check(zeros[0] == 0 && zeros[PAGE - 1] == 0);
		check(faults(newline + 3 * PAGE));
	}
	return 0;
}
