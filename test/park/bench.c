/* SPDX-License-Identifier: MIT */
/*
 * park-bench [-n stops] [-e every_us] [-h hold_us] LIBRARY PROGRAM [ARG...]
 * Runs the program and stops it again and again until it ends. Its exit
 * status, or 98 when a stop failed.
 */
#define _GNU_SOURCE
#include "park/bench.h"
#include "preload/handler/stop.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char folder[64];
static struct registry_header *registry;
static struct bench *bench;

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void tidy(void)
{
	char path[80];

	snprintf(path, sizeof(path), "%s/registry", folder);
	unlink(path);
	rmdir(folder);
}

static void make_registry(void)
{
	char path[80];
	int fd;

	strcpy(folder, "/tmp/park-bench-XXXXXX");
	if (!mkdtemp(folder))
		exit(99);
	atexit(tidy);
	snprintf(path, sizeof(path), "%s/registry", folder);
	fd = open(path, O_RDWR | O_CREAT, 0600);
	if (fd < 0 || ftruncate(fd, REGISTRY_SIZE) < 0)
		exit(99);
	registry = mmap(NULL, REGISTRY_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
			fd, 0);
	close(fd);
	registry->magic = REGISTRY_MAGIC;
	registry->version = REGISTRY_VERSION;
	bench = bench_of(registry);
}

static struct registry_slot *slot_of(pid_t pid)
{
	struct registry_slot *slots = registry_slots(registry);
	unsigned i;

	for (i = 0; i < 64; i++) {
		struct registry_slot *s =
			&slots[((unsigned)pid + i) % REGISTRY_SLOTS];

		if (s->state == SLOT_LIVE && s->pid == pid)
			return s;
	}
	return NULL;
}

/* As the agent does: which call that thread sits in, and since when. */
static void look(struct registry_slot *slot, pid_t pid, pid_t tid)
{
	struct park_thread thread = {.tid = tid};
	char path[64];
	int dir;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = open(path, O_RDONLY | O_DIRECTORY);
	if (dir < 0)
		return;
	task_read_call(dir, &thread);
	task_sleep_begin();
	if (thread.call.nr >= 0)
		task_read_sleep(dir, &thread);
	task_sleep_end();
	close(dir);
	slot->poked_tid = tid;
	slot->poked_call = (int)thread.call.nr + 1;
	slot->poked_print = registry_print(&thread.call, thread.switches);
	slot->asleep_since = thread.asleep_since;
}

static pid_t choose(pid_t pid, unsigned number)
{
	char path[64];
	struct dirent *e;
	pid_t tids[16];
	unsigned n = 0;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	d = opendir(path);
	if (!d)
		return pid;
	while (n < 16 && (e = readdir(d)))
		if (e->d_name[0] != '.')
			tids[n++] = atoi(e->d_name);
	closedir(d);
	return n ? tids[number % n] : pid;
}

static int poke(struct registry_slot *slot, pid_t pid, unsigned attempt)
{
	siginfo_t info = {
		.si_signo = CKPT_SIGNAL,
		.si_code = CKPT_POKE_CODE,
	};
	pid_t tid = choose(pid, registry->request + attempt);

	info.si_int = (int)registry->request;
	look(slot, pid, tid);
	return (int)syscall(SYS_rt_tgsigqueueinfo, pid, tid, CKPT_SIGNAL,
			    &info);
}

/* 1: it has stopped and runs again. 0: it is gone. -1: no answer. */
static int stop_it(pid_t pid, int *status)
{
	uint64_t start = now_us(), poked = 0;
	struct registry_slot *slot;
	unsigned attempt = 0;

	registry->request++;
	while (bench->finished != registry->request) {
		if (waitpid(pid, status, WNOHANG) == pid)
			return 0;
		slot = slot_of(pid);
		if (slot && slot->answered != registry->request &&
		    now_us() - poked > 20000) {
			poke(slot, pid, attempt++);
			poked = now_us();
		}
		if (now_us() - start > 80000000)
			return -1;
		usleep(200);
	}
	return 1;
}

int main(int argc, char **argv)
{
	unsigned every = 20000, most = 1000000, n;
	int option, status = 0, bad = 0, ret = 1;
	uint64_t end = now_us() + 120000000;
	pid_t pid;

	make_registry();
	bench->hold_us = 5000;
	bench->deadline_ms = 10000;
	while ((option = getopt(argc, argv, "+n:e:h:")) != -1) {
		if (option == 'n')
			most = (unsigned)atoi(optarg);
		else if (option == 'e')
			every = (unsigned)atoi(optarg);
		else if (option == 'h')
			bench->hold_us = (unsigned)atoi(optarg);
		else
			return 99;
	}
	pid = fork();
	if (pid == 0) {
		setenv("CKPT_GROUP_DIR", folder, 1);
		setenv("CKPT_COORDINATOR", "127.0.0.1:1", 1);
		setenv("CKPT_COMPUTATION", "bench", 1);
		setenv("LD_PRELOAD", argv[optind], 1);
		execvp(argv[optind + 1], argv + optind + 1);
		_exit(99);
	}
	for (n = 0; n < most && now_us() < end; n++) {
		usleep(every);
		ret = stop_it(pid, &status);
		if (ret <= 0)
			break;
		if (getenv("BENCH_EACH"))
			fprintf(stderr,
				"stop %u: %u threads, parked %.3f captured %.3f all %.3f\n",
				n, bench->threads, (double)bench->park_ns / 1e6,
				(double)bench->capture_ns / 1e6,
				(double)bench->last_ns / 1e6);
		if (bench->error) {
			fprintf(stderr, "stop %u: %s, thread %d (%c)\n", n,
				strerror(-bench->error), bench->late,
				bench->late_state);
			bad = 1;
		}
	}
	registry->request = 0;
	if (ret < 0) {
		fprintf(stderr, "stop %u: no answer\n", n);
		kill(pid, SIGKILL);
		bad = 1;
	}
	if (ret != 0)
		waitpid(pid, &status, 0);
	if (getenv("BENCH_VERBOSE"))
		fprintf(stderr,
			"%u stops, %u threads, last: parked %.3f ms, captured "
			"%.3f ms; longest %.3f ms\n",
			bench->stops, bench->threads,
			(double)bench->park_ns / 1e6,
			(double)bench->capture_ns / 1e6,
			(double)bench->max_ns / 1e6);
	if (bad)
		return 98;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
