/* SPDX-License-Identifier: MIT */
/*
 * Memory that three processes share, whatever it came from: a write of one is
 * seen by the others, before and after. Anonymous memory over fork, a memfd
 * with and without its descriptor, an unlinked POSIX shared memory object and
 * an unlinked file of which nobody has a descriptor, one that has a name; a
 * piece that only the child still has; one that the child has at another
 * place and in another size.
 */
#include "tree.h"

#include <sys/mman.h>

#define PAGE 4096
#define KINDS 6
#define SIZE (16 * PAGE)

static char *memory[KINDS], *again, *piece;
static int memfd, lost;
static pid_t children[2];

static char *map(int fd, size_t size, off_t offset)
{
	char *at = mmap(NULL, size, PROT_READ | PROT_WRITE,
			fd < 0 ? MAP_SHARED | MAP_ANONYMOUS : MAP_SHARED, fd,
			offset);

	check(at != MAP_FAILED);
	return at;
}

static char *of_file(int fd, int keep)
{
	char *at;

	check(fd >= 0 && ftruncate(fd, SIZE) == 0);
	at = map(fd, SIZE, 0);
	if (!keep)
		close(fd);
	return at;
}

static int file_of(const char *name, int unlinked)
{
	char path[4096];
	int fd;

	story_path(path, sizeof(path), name);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	check(!unlinked || unlink(path) == 0);
	return fd;
}

static int shm_of(const char *name)
{
	char unique[64];
	int fd;

	snprintf(unique, sizeof(unique), "/ckpt-test-%s-%d", name, getpid());
	fd = shm_open(unique, O_RDWR | O_CREAT | O_EXCL, 0600);
	check(fd >= 0 && shm_unlink(unique) == 0);
	return fd;
}

static void make(void)
{
	memory[0] = map(-1, SIZE, 0);
	memfd = memfd_create("with", 0);
	memory[1] = of_file(memfd, 1);
	memory[2] = of_file(memfd_create("without", 0), 0);
	memory[3] = of_file(shm_of("shm"), 0);
	memory[4] = of_file(file_of("unlinked", 1), 0);
	memory[5] = of_file(file_of("named", 0), 0);
	lost = memfd_create("partly", 0);
	piece = of_file(lost, 1);
}

/* The children's own: nobody else has what the first keeps, the second sees
 * more than its parent. */
static void go_apart(int which)
{
	if (which == 0) {
		check(munmap(piece, 2 * PAGE) == 0);
		check(munmap(memory[0], PAGE) == 0);
		again = map(memfd, PAGE, 3 * PAGE);
	} else {
		check(ftruncate(memfd, 2 * SIZE) == 0);
		again = map(memfd, 2 * SIZE, 0);
		again[2 * SIZE - 1] = 'Z';
		check(munmap(piece, SIZE) == 0);
	}
	check(close(lost) == 0);
}

/* Everybody writes its own column of every page but the first, and finds
 * those of all others. */
static void write_mine(int who, int value)
{
	int i, k;

	for (i = 0; i < KINDS; i++)
		for (k = 1; k < SIZE / PAGE; k++)
			memory[i][k * PAGE + who] = (char)(value + i + k);
}

static int is_there(int who, int value)
{
	int i, k;

	for (i = 0; i < KINDS; i++)
		for (k = 1; k < SIZE / PAGE; k++)
			if (memory[i][k * PAGE + who] != (char)(value + i + k))
				return 0;
	return 1;
}

static void child(int which)
{
	int round, who = which + 1;
	pid_t parent = getppid();

	go_apart(which);
	for (round = 1;; round++) {
		write_mine(who, 10 * who + round);
		if (which == 0)
			memset(piece + 3 * PAGE, 'p' + round, PAGE);
		tell(parent, SIGUSR2);
		await_signal(SIGUSR1);
		check(is_there(0, 100 + round));
		check(is_there(1, 10 + round) && is_there(2, 20 + round));
		if (which == 0) {
			check(piece[3 * PAGE] == 'p' + round);
			check(again[2] == (char)(20 + round + 1 + 3));
		} else {
			check(again[2 * SIZE - 1] == 'Z');
			check(again[PAGE] == (char)(100 + round + 1 + 1));
		}
	}
}

int main(void)
{
	int round, i;

	tree_start();
	make();
	for (i = 0; i < 2; i++) {
		children[i] = fork();
		check(children[i] >= 0);
		if (children[i] == 0)
			child(i);
		await_signal(SIGUSR2);
	}
	check(munmap(piece, SIZE) == 0 && close(lost) == 0);
	for (round = 1; round <= 3; round++) {
		write_mine(0, 100 + round);
		story_ready();
		for (i = 0; i < 2; i++) {
			tell(children[i], SIGUSR1);
			await_signal(SIGUSR2);
			/* The other one expects what it knows. */
			check(is_there(i + 1, 10 * (i + 1) + round + 1));
			write_mine(i + 1, 10 * (i + 1) + round);
		}
		for (i = 0; i < 2; i++)
			write_mine(i + 1, 10 * (i + 1) + round + 1);
	}
	for (i = 0; i < 2; i++) {
		check(kill(children[i], SIGKILL) == 0);
		expect_status(children[i], SIGKILL);
	}
	return 0;
}
