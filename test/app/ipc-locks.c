/* SPDX-License-Identifier: MIT */
/*
 * BUILD: -pthread
 *
 * Locks over processes, in shared memory: children asleep in a mutex, a
 * condition variable, an unnamed and a named POSIX semaphore, a PI mutex and a
 * bare futex are woken by their parent; a robust mutex whose owner dies in the
 * next life is handed on with EOWNERDEAD.
 */
#include "tree.h"

#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/syscall.h>

enum { MUTEX, CONDITION, SEMAPHORE, NAMED, PI, FUTEX, ROBUST, KINDS };

static struct shared {
	pthread_mutex_t mutex, pi, robust, under;
	pthread_cond_t condition;
	sem_t semaphore;
	int futex, turn;
	int passed[KINDS];
} *s;
static sem_t *named;
static char name[64];
static pid_t children[KINDS], owner;

static void mutex_init(pthread_mutex_t *mutex, int protocol, int robust)
{
	pthread_mutexattr_t a;

	check(pthread_mutexattr_init(&a) == 0);
	check(pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED) == 0);
	check(pthread_mutexattr_setprotocol(&a, protocol) == 0);
	check(pthread_mutexattr_setrobust(&a, robust) == 0);
	check(pthread_mutex_init(mutex, &a) == 0);
}

static void make(void)
{
	pthread_condattr_t a;

	s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	check(s != MAP_FAILED);
	mutex_init(&s->mutex, PTHREAD_PRIO_NONE, PTHREAD_MUTEX_STALLED);
	mutex_init(&s->under, PTHREAD_PRIO_NONE, PTHREAD_MUTEX_STALLED);
	mutex_init(&s->pi, PTHREAD_PRIO_INHERIT, PTHREAD_MUTEX_STALLED);
	mutex_init(&s->robust, PTHREAD_PRIO_NONE, PTHREAD_MUTEX_ROBUST);
	check(pthread_condattr_init(&a) == 0);
	check(pthread_condattr_setpshared(&a, PTHREAD_PROCESS_SHARED) == 0);
	check(pthread_cond_init(&s->condition, &a) == 0);
	check(sem_init(&s->semaphore, 1, 0) == 0);
	snprintf(name, sizeof(name), "/ckpt-test-%d", getpid());
	named = sem_open(name, O_CREAT | O_EXCL, 0600, 0);
	check(named != SEM_FAILED);
}

static void sleep_in(int kind)
{
	switch (kind) {
	case MUTEX:
		check(pthread_mutex_lock(&s->mutex) == 0);
		check(pthread_mutex_unlock(&s->mutex) == 0);
		break;
	case CONDITION:
		check(pthread_mutex_lock(&s->under) == 0);
		while (!s->turn)
			check(pthread_cond_wait(&s->condition, &s->under) == 0);
		check(pthread_mutex_unlock(&s->under) == 0);
		break;
	case SEMAPHORE:
		while (sem_wait(&s->semaphore) < 0)
			check(errno == EINTR);
		break;
	case NAMED:
		while (sem_wait(named) < 0)
			check(errno == EINTR);
		break;
	case PI:
		check(pthread_mutex_lock(&s->pi) == 0);
		check(pthread_mutex_unlock(&s->pi) == 0);
		break;
	case FUTEX:
		while (__atomic_load_n(&s->futex, __ATOMIC_SEQ_CST) == 0)
			syscall(SYS_futex, &s->futex, FUTEX_WAIT, 0, NULL);
		break;
	case ROBUST:
		check(pthread_mutex_lock(&s->robust) == EOWNERDEAD);
		check(pthread_mutex_consistent(&s->robust) == 0);
		check(pthread_mutex_unlock(&s->robust) == 0);
		break;
	}
}

static pid_t child(int kind)
{
	pid_t pid = fork();

	check(pid >= 0);
	if (pid == 0) {
		tell(getppid(), SIGUSR2);
		sleep_in(kind);
		s->passed[kind] = 1;
		_exit(0);
	}
	await_signal(SIGUSR2);
	return pid;
}

static pid_t robust_owner(void)
{
	pid_t pid = fork();

	check(pid >= 0);
	if (pid == 0) {
		check(pthread_mutex_lock(&s->robust) == 0);
		tell(getppid(), SIGUSR2);
		await_signal(SIGUSR1);
		_exit(0);
	}
	await_signal(SIGUSR2);
	return pid;
}

static void wake(int kind)
{
	switch (kind) {
	case MUTEX:
		check(pthread_mutex_unlock(&s->mutex) == 0);
		break;
	case CONDITION:
		check(pthread_mutex_lock(&s->under) == 0);
		s->turn = 1;
		check(pthread_cond_broadcast(&s->condition) == 0);
		check(pthread_mutex_unlock(&s->under) == 0);
		break;
	case SEMAPHORE:
		check(sem_post(&s->semaphore) == 0);
		break;
	case NAMED:
		check(sem_post(named) == 0);
		break;
	case PI:
		check(pthread_mutex_unlock(&s->pi) == 0);
		break;
	case FUTEX:
		__atomic_store_n(&s->futex, 1, __ATOMIC_SEQ_CST);
		syscall(SYS_futex, &s->futex, FUTEX_WAKE, 1);
		break;
	case ROBUST:
		tell(owner, SIGUSR1);
		expect_status(owner, 0);
		break;
	}
}

int main(void)
{
	sem_t *again;
	int i;

	tree_start();
	make();
	check(pthread_mutex_lock(&s->mutex) == 0);
	check(pthread_mutex_lock(&s->pi) == 0);
	owner = robust_owner();
	for (i = 0; i < KINDS; i++)
		children[i] = child(i);
	story_ready();
	story_ready();
	story_ready();
	for (i = 0; i < KINDS; i++) {
		check(!s->passed[i]);
		if (i == ROBUST)
			check(pthread_mutex_trylock(&s->robust) == EBUSY);
		wake(i);
		expect_status(children[i], 0);
		check(s->passed[i]);
	}
	again = sem_open(name, 0);
	check(again == named);
	check(sem_unlink(name) == 0);
	return 0;
}
