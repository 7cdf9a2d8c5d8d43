/* SPDX-License-Identifier: MIT */
/*
 * Who and where we are, before and after: ids, names, program, heap, folder.
 * The monotonic clock goes on from where it stopped, however long that is
 * ago; the time of day is what it is.
 */
#include "story.h"

#include <pthread.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

struct identity {
	pid_t pid, tid;
	char comm[32], exe[4096], arguments[4096], folder[4096];
	void *heap;
	mode_t mask;
};

static volatile pid_t others_tid;
static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;

static void read_file(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length;

	check(fd >= 0);
	length = read(fd, text, size - 1);
	check(length >= 0);
	text[length] = 0;
	close(fd);
}

static void look(struct identity *me)
{
	ssize_t length;

	memset(me, 0, sizeof(*me));
	me->pid = getpid();
	me->tid = (pid_t)syscall(SYS_gettid);
	read_file("/proc/self/comm", me->comm, sizeof(me->comm));
	read_file("/proc/self/cmdline", me->arguments, sizeof(me->arguments));
	length = readlink("/proc/self/exe", me->exe, sizeof(me->exe) - 1);
	check(length > 0);
	check(getcwd(me->folder, sizeof(me->folder)));
	me->heap = sbrk(0);
	umask(me->mask = umask(0));
}

static void *other(void *arg)
{
	(void)arg;
	others_tid = (pid_t)syscall(SYS_gettid);
	pthread_mutex_lock(&held);
	check(others_tid == (pid_t)syscall(SYS_gettid));
	pthread_mutex_unlock(&held);
	return NULL;
}

static double now(clockid_t clock)
{
	struct timespec t;

	check(clock_gettime(clock, &t) == 0);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	struct identity before, after;
	double monotonic, boottime, gone, allowed;
	char path[64];
	pthread_t thread;

	umask(026);
	prctl(PR_SET_NAME, "a name");
	pthread_mutex_lock(&held);
	check(pthread_create(&thread, NULL, other, NULL) == 0);
	while (!others_tid)
		sched_yield();
	look(&before);
	monotonic = now(CLOCK_MONOTONIC);
	boottime = now(CLOCK_BOOTTIME);
	gone = now(CLOCK_REALTIME);
	story_ready();

	look(&after);
	check(before.pid == after.pid && before.tid == after.tid);
	check(strcmp(before.comm, after.comm) == 0);
	check(argc > 1 || strcmp(before.exe, after.exe) == 0);
	check(memcmp(before.arguments, after.arguments,
		     sizeof(after.arguments)) == 0);
	check(strcmp(before.folder, after.folder) == 0);
	check(before.heap == after.heap);
	check(before.mask == after.mask);
	snprintf(path, sizeof(path), "/proc/self/task/%d/comm", others_tid);
	check(access(path, F_OK) == 0);
	check(sbrk(65536) == before.heap); /* it still grows from there */
	/* Without a capsule, clocks are the machine's. */
	allowed = now(CLOCK_REALTIME) - gone + 0.1;
	check(now(CLOCK_MONOTONIC) >= monotonic);
	if (!(argc > 1 && strcmp(argv[1], "in-place") == 0)) {
		check(now(CLOCK_MONOTONIC) - monotonic < allowed);
		check(now(CLOCK_BOOTTIME) - boottime < allowed);
		check(now(CLOCK_BOOTTIME) >= boottime);
	}
	pthread_mutex_unlock(&held);
	check(pthread_join(thread, NULL) == 0);
	return 0;
}
