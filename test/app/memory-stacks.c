/* SPDX-License-Identifier: MIT */
/*
 * Children that stand on stacks in memory that they share with their parent:
 * anonymous, and of an unlinked file. Who brings it back in the new life may
 * come after them, having more memory of its own to bring back.
 */
#include "tree.h"

#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

#define OWN (96ul << 20)
#define STACK (256ul << 10)
#define STACKS 2

static volatile int *done;
static ucontext_t before, there;

static void stand(void)
{
	volatile unsigned long numbers[512];
	unsigned long i, seed = (unsigned long)getpid();

	for (i = 0; i < 512; i++)
		numbers[i] = seed * (i + 1);
	__atomic_add_fetch(done + 1, 1, __ATOMIC_SEQ_CST);
	while (!*done)
		for (i = 0; i < 512; i++)
			check(numbers[i] == seed * (i + 1));
	_exit(0);
}

static _Noreturn void child(void *stack)
{
	check(getcontext(&there) == 0);
	there.uc_stack.ss_sp = stack;
	there.uc_stack.ss_size = STACK;
	there.uc_link = &before;
	makecontext(&there, stand, 0);
	swapcontext(&before, &there);
	_exit(1);
}

int main(void)
{
	char path[4096];
	unsigned long *own, i;
	void *stacks[STACKS];
	pid_t children[STACKS];
	int fd, status;

	done = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	check(done != MAP_FAILED);
	stacks[0] = mmap(NULL, STACK, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	story_path(path, sizeof(path), "stack");
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	check(fd >= 0 && unlink(path) == 0 && ftruncate(fd, STACK) == 0);
	stacks[1] =
		mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	for (i = 0; i < STACKS; i++) {
		check(stacks[i] != MAP_FAILED);
		children[i] = fork();
		if (children[i] == 0)
			child(stacks[i]);
		check(children[i] > 0);
	}
	own = malloc(OWN);
	check(own);
	for (i = 0; i < OWN / sizeof(*own); i++)
		own[i] = i * 0x9e3779b97f4a7c15ul;
	while (done[1] < STACKS)
		usleep(1000);
	story_ready();
	story_ready();
	story_ready();
	*done = 1;
	for (i = 0; i < STACKS; i++)
		check(waitpid(children[i], &status, 0) == children[i] &&
		      status == 0);
	for (i = 0; i < OWN / sizeof(*own); i++)
		check(own[i] == i * 0x9e3779b97f4a7c15ul);
	return 0;
}
