/* SPDX-License-Identifier: MIT */
/*
 * What /proc says of a thread that still runs. On the service thread.
 *
 * How long a thread has been asleep: se.exec_start of its `sched` file is the
 * clock of its CPU's run queue when it last ran. That clock is not
 * CLOCK_MONOTONIC; the difference is measured for each CPU by going there and
 * looking at our own. Where the kernel has no such file the time stays
 * unknown.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <time.h>

#include "preload/handler/stop.h"
#include "sys/string.h"
#include "sys/task.h"

#define CPUS 1024
#define QUICK 100000u /* ns */

static struct {
	int64_t ahead[CPUS]; /* CLOCK_MONOTONIC - exec_start; 0: not known */
	uint64_t affinity[CPUS / 64];
	int away; /* affinity has been changed */
} sleeping;

int task_open(void)
{
	return (int)sys_openat(AT_FDCWD, "/proc/self/task",
			       O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
}

/* NUL-terminated; its length, or -errno. */
static long read_file(int dir, const char *path, char *buffer, size_t size)
{
	long fd, ret;

	fd = sys_openat(dir, path, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return fd;
	ret = sys_read((int)fd, buffer, size - 1);
	sys_close((int)fd);
	if (ret >= 0)
		buffer[ret] = 0;
	return ret;
}

struct path {
	char text[32];
};

static struct path path_of(int32_t tid, const char *name)
{
	struct path path;
	struct sys_text text;

	sys_text_open(&text, path.text, sizeof(path.text));
	sys_text_number(&text, (uint64_t)tid, 10);
	sys_text_put(&text, name);
	return path;
}

static uint64_t hexadecimal(const char **s)
{
	while (**s == ' ')
		(*s)++;
	if (sys_starts(*s, "0x"))
		*s += 2;
	return sys_number(s, 16);
}

/* "running", "-1 SP PC" (asleep, but in no call) or "NR A B C D E F SP PC". */
void task_read_call(int dir, struct park_thread *thread)
{
	struct registry_call *call = &thread->call;
	const char *s;
	char text[256];
	int i;

	call->nr = -1;
	if (read_file(dir, path_of(thread->tid, "/syscall").text, text,
		      sizeof(text)) <= 0 ||
	    text[0] < '0' || text[0] > '9')
		return;
	s = text;
	call->nr = (int64_t)sys_number(&s, 10);
	for (i = 0; i < 6; i++)
		call->arguments[i] = hexadecimal(&s);
	call->sp = hexadecimal(&s);
	call->ip = hexadecimal(&s);
}

/* What follows ") " in its `stat`: the state, and from there on numbers. */
static const char *read_stat(int dir, int32_t tid, char *text, size_t size)
{
	long length = read_file(dir, path_of(tid, "/stat").text, text, size);
	const char *s = NULL;
	long i;

	for (i = 0; i + 2 < length; i++) /* the name may hold a ')' */
		if (text[i] == ')')
			s = text + i + 2;
	return s;
}

char task_state(int dir, int32_t tid)
{
	char text[1024];
	const char *s = read_stat(dir, tid, text, sizeof(text));

	return s ? *s : 'X';
}

static int last_cpu(int dir, int32_t tid)
{
	char text[1024];
	const char *s = read_stat(dir, tid, text, sizeof(text));
	int field;

	if (!s)
		return -1;
	for (field = 3; field < 39; field++) {
		while (*s && *s != ' ')
			s++;
		if (*s)
			s++;
	}
	return (int)sys_number(&s, 10);
}

/* exec_start in ns, 0: not there. */
static uint64_t read_exec_start(int dir, const char *path, uint64_t *switches)
{
	char text[4096];
	const char *s;
	uint64_t ms, ns;

	if (read_file(dir, path, text, sizeof(text)) <= 0)
		return 0;
	s = sys_find(text, "\n"); /* behind the program's name */
	s = sys_find(s, "nr_voluntary_switches");
	s = sys_find(s ? s : "", ":");
	*switches = 0;
	if (s) {
		for (s++; *s == ' '; s++)
			;
		*switches = sys_number(&s, 10);
	}
	s = sys_find(sys_find(text, "\n"), "se.exec_start");
	s = sys_find(s ? s : "", ":");
	if (!s)
		return 0;
	for (s++; *s == ' '; s++)
		;
	ms = sys_number(&s, 10);
	if (*s == '.')
		s++;
	ns = sys_number(&s, 10); /* six digits */
	return ms * 1000000u + ns;
}

/* CLOCK_MONOTONIC - the clock of the CPU's run queue; 0: not known. */
static int64_t measure(int cpu)
{
	uint64_t mask[CPUS / 64] = {0};
	uint64_t before, now, start, switches, shortest = UINT64_MAX;
	int64_t ahead = 0;
	int i;

	mask[cpu / 64] = 1ull << (cpu % 64);
	if (sys_sched_setaffinity(0, sizeof(mask), mask) < 0)
		return 0;
	sleeping.away = 1;
	/* Somebody else may run between the readings: the quickest of three
	 * is the truest. */
	for (i = 0; i < 3 && shortest > QUICK; i++) {
		before = sys_clock_ns(CLOCK_MONOTONIC);
		sys_sched_yield(); /* starts our own slice anew */
		now = sys_clock_ns(CLOCK_MONOTONIC);
		start = read_exec_start(AT_FDCWD, "/proc/thread-self/sched",
					&switches);
		if (!start)
			return 0;
		if (sys_clock_ns(CLOCK_MONOTONIC) - before < shortest) {
			shortest = sys_clock_ns(CLOCK_MONOTONIC) - before;
			ahead = (int64_t)(now - start);
		}
	}
	return ahead;
}

void task_sleep_begin(void)
{
	int i;

	for (i = 0; i < CPUS; i++)
		sleeping.ahead[i] = 0;
	for (i = 0; i < CPUS / 64; i++)
		sleeping.affinity[i] = 0;
	sys_sched_getaffinity(0, sizeof(sleeping.affinity), sleeping.affinity);
}

void task_sleep_end(void)
{
	if (sleeping.away)
		sys_sched_setaffinity(0, sizeof(sleeping.affinity),
				      sleeping.affinity);
	sleeping.away = 0;
}

void task_read_sleep(int dir, struct park_thread *thread)
{
	int cpu = last_cpu(dir, thread->tid);
	uint64_t switches, start;

	thread->asleep_since = 0;
	if (cpu < 0 || cpu >= CPUS)
		return;
	if (!sleeping.ahead[cpu])
		sleeping.ahead[cpu] = measure(cpu);
	if (!sleeping.ahead[cpu])
		return;
	start = read_exec_start(dir, path_of(thread->tid, "/sched").text,
				&switches);
	if (!start)
		return;
	thread->asleep_since = start + (uint64_t)sleeping.ahead[cpu];
	thread->switches = switches;
}
