/* SPDX-License-Identifier: MIT */
/*
 * System V semaphores and message queues: ids, keys, modes, sizes, values,
 * messages with their types and order; a process asleep in semop() and one in
 * msgrcv() sleep on, and are woken by others; the end of one undoes what it
 * did with SEM_UNDO.
 */
#include "tree.h"

#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/wait.h>

static int set, undone, unused, queue, full, large;
static key_t key;
static struct semid_ds set_before;
static struct msqid_ds queue_before;
static pid_t sleepers[3], undoer;

struct text {
	long type;
	char bytes[4000];
};

static void put(int id, long type, const char *bytes, size_t length)
{
	struct text text = {.type = type};

	memcpy(text.bytes, bytes, length);
	check(msgsnd(id, &text, length, IPC_NOWAIT) == 0);
}

static void expect(int id, long type, const char *bytes, size_t length)
{
	struct text text;

	check(msgrcv(id, &text, sizeof(text.bytes), type, IPC_NOWAIT) ==
	      (ssize_t)length);
	check(memcmp(text.bytes, bytes, length) == 0);
}

static pid_t sleeper(void (*sleep)(void))
{
	pid_t pid = fork();

	check(pid >= 0);
	if (pid)
		return pid;
	tell(getppid(), SIGUSR2);
	sleep();
	_exit(7);
}

static void sleep_in_semop(void)
{
	struct sembuf take = {2, -5, 0};

	check(semop(set, &take, 1) == 0);
}

/* Takes 3 of 5, adds 7 to 1 and 2 to 32765, takes 2 of 2 and adds those
 * again. */
static void use_with_undo(void)
{
	struct sembuf ops[] = {
		{0, -2, SEM_UNDO}, {0, -1, SEM_UNDO}, {1, 7, SEM_UNDO},
		{2, 2, SEM_UNDO},  {3, -2, SEM_UNDO}, {3, 2, SEM_UNDO},
	};
	pid_t parent = getppid();

	check(semop(undone, ops, 6) == 0);
	tell(parent, SIGUSR1);
	await_signal(SIGUSR1);
}

static void expect_values(unsigned a, unsigned b, unsigned c, unsigned d)
{
	unsigned short values[4];

	check(semctl(undone, 0, GETALL, values) == 0);
	check(values[0] == a && values[1] == b);
	check(values[2] == c && values[3] == d);
}

static void sleep_in_msgrcv(void)
{
	struct text text;

	check(msgrcv(queue, &text, sizeof(text.bytes), 77, 0) == 5);
	check(memcmp(text.bytes, "wake", 5) == 0);
}

static void sleep_in_msgsnd(void)
{
	struct text text = {.type = 1};

	check(msgsnd(full, &text, 1000, 0) == 0);
}

static void make(void)
{
	unsigned short values[4] = {0, 3, 0, 32767};
	unsigned short first[4] = {5, 1, 32765, 2};
	struct msqid_ds ds;
	char bytes[4000];
	int i;

	key = unused_key();
	set = semget(key, 4, IPC_CREAT | IPC_EXCL | 0620);
	undone = semget(IPC_PRIVATE, 4, 0600);
	unused = semget(IPC_PRIVATE, 2, 0600);
	queue = msgget(key, IPC_CREAT | IPC_EXCL | 0660);
	full = msgget(IPC_PRIVATE, 0600);
	large = msgget(IPC_PRIVATE, 0600);
	check(set >= 0 && unused >= 0 && queue >= 0 && full >= 0);
	printf("made -s %d\nmade -s %d\nmade -s %d\nmade -q %d\nmade -q %d\nmade -q %d\n",
	       set, undone, unused, queue, full, large);
	fflush(stdout);
	check(semctl(set, 0, SETALL, values) == 0);
	check(semctl(undone, 0, SETALL, first) == 0);
	check(semop(set, &(struct sembuf){1, 1, 0}, 1) == 0);
	put(queue, 5, "five", 5);
	put(queue, 3, "three", 6);
	put(queue, 5, "", 0);
	put(queue, 1000000007, "last", 4);
	check(msgctl(full, IPC_STAT, &ds) == 0);
	ds.msg_qbytes = 1500;
	check(msgctl(full, IPC_SET, &ds) == 0);
	put(full, 9, memset(bytes, 'x', 1000), 1000);
	for (i = 0; i < 4; i++)
		put(large, i + 1, memset(bytes, 'A' + i, 4000), 4000);
	check(semctl(set, 0, IPC_STAT, &set_before) == 0);
	check(msgctl(queue, IPC_STAT, &queue_before) == 0);
	sleepers[0] = sleeper(sleep_in_semop);
	await_signal(SIGUSR2);
	sleepers[1] = sleeper(sleep_in_msgrcv);
	await_signal(SIGUSR2);
	sleepers[2] = sleeper(sleep_in_msgsnd);
	await_signal(SIGUSR2);
	undoer = sleeper(use_with_undo);
	await_signal(SIGUSR2);
	await_signal(SIGUSR1);
}

static void expect_same(const struct ipc_perm *a, const struct ipc_perm *b)
{
	check(a->__key == b->__key && a->mode == b->mode);
	check(a->uid == b->uid && a->gid == b->gid);
	check(a->cuid == b->cuid && a->cgid == b->cgid);
}

/* Looks, and leaves everything as it was. */
static void look(void)
{
	unsigned short values[4];
	struct semid_ds sem;
	struct msqid_ds msg;

	check(semget(key, 0, 0) == set && msgget(key, 0) == queue);
	check(semctl(set, 0, IPC_STAT, &sem) == 0 && sem.sem_nsems == 4);
	expect_same(&sem.sem_perm, &set_before.sem_perm);
	check(sem.sem_otime != 0);
	check(semctl(unused, 0, IPC_STAT, &sem) == 0 && sem.sem_nsems == 2);
	check(sem.sem_otime == 0);
	check(semctl(set, 0, GETALL, values) == 0);
	check(values[0] == 0 && values[1] == 4 && values[2] == 0 &&
	      values[3] == 32767);
	check(msgctl(queue, IPC_STAT, &msg) == 0 && msg.msg_qnum == 4);
	expect_same(&msg.msg_perm, &queue_before.msg_perm);
	check(msg.msg_qbytes == queue_before.msg_qbytes);
	check(msgctl(full, IPC_STAT, &msg) == 0 && msg.msg_qbytes == 1500);
	check(waitpid(-1, NULL, WNOHANG) == 0);
	expect_values(2, 8, 32767, 2);
}

static void take_all(void)
{
	char bytes[4000];
	int i;

	expect(queue, 0, "five", 5);
	expect(queue, 5, "", 0);
	expect(queue, 0, "three", 6);
	expect(queue, -2000000000, "last", 4);
	put(queue, 77, "wake", 5);
	expect(full, 0, memset(bytes, 'x', 1000), 1000);
	for (i = 0; i < 4; i++)
		expect(large, 0, memset(bytes, 'A' + i, 4000), 4000);
	check(semop(set, &(struct sembuf){2, 5, 0}, 1) == 0);
	for (i = 0; i < 3; i++)
		expect_status(sleepers[i], 7 << 8);
	tell(undoer, SIGUSR1);
	expect_status(undoer, 7 << 8);
	expect_values(5, 1, 32765, 2);
}

int main(void)
{
	int round;

	tree_start();
	make();
	for (round = 0; round < 3; round++) {
		story_ready();
		look();
	}
	take_all();
	check(semctl(undone, 0, IPC_RMID) == 0);
	check(semctl(set, 0, IPC_RMID) == 0 && semctl(unused, 0, IPC_RMID) == 0);
	check(msgctl(queue, IPC_RMID, NULL) == 0);
	check(msgctl(full, IPC_RMID, NULL) == 0);
	check(msgctl(large, IPC_RMID, NULL) == 0);
	return 0;
}
