/* SPDX-License-Identifier: MIT */
/*
 * System V shared memory: ids, keys, modes, sizes, where it is attached and
 * how, by how many; one that waits for its last user to go, one that nobody
 * has attached, one of which only a piece is left, one attached read-only.
 */
#include "tree.h"

#include <sys/mman.h>
#include <sys/shm.h>

#define PAGE 4096ul
#define SIZE (8 * PAGE)

enum { PLAIN, REMOVED, ALONE, PIECE, READ_ONLY, KINDS };

static int ids[KINDS];
static volatile char *at[KINDS];
static volatile char *second; /* PLAIN once more, at a chosen place */
static char *const chosen = (char *)0x600000000000;
static struct shmid_ds before[KINDS];
static key_t key;
static pid_t child;

static struct shmid_ds status(int id)
{
	struct shmid_ds ds;

	check(shmctl(id, IPC_STAT, &ds) == 0);
	return ds;
}

static volatile char *attach(int id, void *where, int flags)
{
	volatile char *to = shmat(id, where, flags);

	check(to != (void *)-1);
	return to;
}

static void make(void)
{
	int i;

	key = unused_key();
	ids[PLAIN] = shmget(key, SIZE - 100, IPC_CREAT | IPC_EXCL | 0640);
	for (i = 1; i < KINDS; i++)
		ids[i] = shmget(IPC_PRIVATE, SIZE, 0600);
	for (i = 0; i < KINDS; i++) {
		check(ids[i] >= 0);
		at[i] = attach(ids[i], NULL, 0);
		memset((char *)at[i], 'a' + i, SIZE / 2);
	}
	second = attach(ids[PLAIN], chosen, 0);
	check(second == chosen);
	check(shmctl(ids[REMOVED], IPC_RMID, NULL) == 0);
	for (i = 0; i < KINDS; i++)
		if (i != REMOVED)
			printf("made -m %d\n", ids[i]);
	fflush(stdout);
	check(shmdt((void *)at[ALONE]) == 0);
	check(munmap((char *)at[PIECE], 2 * PAGE) == 0);
	check(munmap((char *)at[PIECE] + 4 * PAGE, 2 * PAGE) == 0);
	check(shmdt((void *)at[READ_ONLY]) == 0);
	at[READ_ONLY] = attach(ids[READ_ONLY], NULL, SHM_RDONLY);
	check(mprotect((char *)at[PLAIN] + PAGE, PAGE, PROT_READ) == 0);
}

static void expect_same(int i, unsigned long attached)
{
	struct shmid_ds ds = status(ids[i]);

	check(ds.shm_perm.__key == before[i].shm_perm.__key);
	check(ds.shm_perm.mode == before[i].shm_perm.mode);
	check(ds.shm_perm.uid == before[i].shm_perm.uid);
	check(ds.shm_perm.gid == before[i].shm_perm.gid);
	check(ds.shm_perm.cuid == before[i].shm_perm.cuid);
	check(ds.shm_segsz == before[i].shm_segsz);
	if (ds.shm_nattch != attached)
		dprintf(2, "segment %d is attached %lu times, not %lu\n", i,
			(unsigned long)ds.shm_nattch, attached);
	check(ds.shm_nattch == attached);
}

static void verify(int round)
{
	int i;

	for (i = 0; i < KINDS; i++)
		expect_same(i, before[i].shm_nattch);
	check(shmget(key, 0, 0) == ids[PLAIN]);
	check(shmget(key, SIZE, IPC_CREAT | IPC_EXCL) < 0 && errno == EEXIST);
	check(at[PLAIN][100] == 'a' && second[100] == 'a');
	check(at[PLAIN][SIZE - 101] == 0);
	check(at[REMOVED][3] == 'b');
	check(at[PIECE][2 * PAGE] == 'd' && at[PIECE][7 * PAGE] == 0);
	check(at[READ_ONLY][5] == 'e');
	check(mprotect((char *)at[READ_ONLY], PAGE, PROT_READ | PROT_WRITE) < 0);
	check(mprotect((char *)at[PLAIN] + PAGE, PAGE,
		       PROT_READ | PROT_WRITE) == 0);
	check(mprotect((char *)at[PLAIN] + PAGE, PAGE, PROT_READ) == 0);
	/* With the child, and with oneself. */
	check(at[PLAIN][2 * PAGE] == 'A' + round - 1);
	at[PLAIN][3 * PAGE] = (char)('0' + round);
	check(second[3 * PAGE] == '0' + round);
	at[ALONE] = attach(ids[ALONE], NULL, 0);
	check(at[ALONE][0] == 'c' && at[ALONE][SIZE - 1] == round - 1);
	at[ALONE][SIZE - 1] = (char)round;
	check(shmdt((void *)at[ALONE]) == 0);
}

static void child_main(void)
{
	pid_t parent = getppid();
	int round;

	check(shmdt((void *)second) == 0);
	check(shmdt((void *)at[REMOVED]) == 0);
	for (round = 0;; round++) {
		at[PLAIN][2 * PAGE] = (char)('A' + round);
		tell(parent, SIGUSR2);
		await_signal(SIGUSR1);
		check(at[PLAIN][3 * PAGE] == '1' + round);
		check(at[READ_ONLY][5] == 'e');
	}
}

int main(void)
{
	int round, i;

	tree_start();
	make();
	child = fork();
	check(child >= 0);
	if (child == 0)
		child_main();
	await_signal(SIGUSR2);
	for (i = 0; i < KINDS; i++)
		before[i] = status(ids[i]);
	for (round = 1; round <= 3; round++) {
		story_ready();
		verify(round);
		tell(child, SIGUSR1);
		await_signal(SIGUSR2);
	}
	check(kill(child, SIGKILL) == 0);
	expect_status(child, SIGKILL);
	check(shmdt((void *)at[REMOVED]) == 0);
	check(shmctl(ids[REMOVED], IPC_STAT, &before[0]) < 0);
	for (i = 0; i < KINDS; i++)
		check(i == REMOVED || shmctl(ids[i], IPC_RMID, NULL) == 0);
	return 0;
}
