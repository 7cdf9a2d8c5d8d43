/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "agent/proc.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/loop.h"

#define PF_EXITING 0x4 /* of the kernel's task flags */

/* The text of a small file of /proc, which is shown in one piece: what does
 * not fill the buffer is all of it. Length or -errno. */
static int slurp(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got;

	if (fd < 0)
		return -errno;
	got = read(fd, text, size - 1);
	if (got < 0)
		got = -errno;
	close(fd);
	text[got > 0 ? got : 0] = 0;
	return (int)got;
}

static void path_of(char *path, size_t size, pid_t pid, pid_t tid,
		    const char *file)
{
	if (tid)
		snprintf(path, size, "/proc/%d/task/%d/%s", pid, tid, file);
	else
		snprintf(path, size, "/proc/%d/%s", pid, file);
}

int proc_stat(pid_t pid, pid_t tid, struct proc_stat *out)
{
	char path[64], text[1024], *name, *at;
	uint64_t field[53] = {0};
	int ret, n, last;

	path_of(path, sizeof(path), pid, tid, "stat");
	ret = slurp(path, text, sizeof(text));
	if (ret < 0)
		return ret;
	/* The name may hold anything, brackets too. */
	name = strchr(text, '(');
	at = strrchr(text, ')');
	if (!name || !at || at[1] != ' ')
		return -EPROTO;
	*at = 0;
	snprintf(out->comm, sizeof(out->comm), "%s", name + 1);
	out->state = at[2];
	at += 3;
	last = out->state == 'Z' ? 52 : 39;
	for (n = 4; n <= last && *at; n++)
		field[n] = strtoull(at, &at, 10);
	if (n < 40)
		return -EPROTO;
	out->ppid = (pid_t)field[4];
	out->pgid = (pid_t)field[5];
	out->sid = (pid_t)field[6];
	out->wait_status = (int)field[52];
	out->flags = (unsigned)field[9];
	out->threads = (int)field[20];
	out->start_time = field[22];
	out->rss = field[24] * (uint64_t)sysconf(_SC_PAGESIZE);
	out->processor = (int)field[39];
	return 0;
}

static uint64_t status_value(const char *text, const char *key, int base)
{
	const char *at = strstr(text, key);

	return at ? strtoull(at + strlen(key), NULL, base) : 0;
}

int proc_status(pid_t pid, struct proc_status *out)
{
	char path[64], text[8192];
	const char *users, *state;
	int ret;

	path_of(path, sizeof(path), pid, 0, "status");
	ret = slurp(path, text, sizeof(text));
	if (ret < 0)
		return ret;
	state = strstr(text, "\nState:\t");
	out->state = state ? state[8] : '?';
	users = strstr(text, "\nUid:");
	if (!users || sscanf(users, "%*s %*u %*u %*u %u", &out->user) != 1)
		out->user = geteuid();
	out->caught = status_value(text, "\nSigCgt:", 16);
	out->pending = status_value(text, "\nSigPnd:", 16);
	out->ignored = status_value(text, "\nSigIgn:", 16);
	out->tracer = (pid_t)status_value(text, "\nTracerPid:", 10);
	out->rss_memory = 1024 * (status_value(text, "\nRssAnon:", 10) +
				  status_value(text, "\nRssShmem:", 10));
	return 0;
}

int proc_status_text(pid_t pid, pid_t tid, char *text, size_t size)
{
	char path[64];

	path_of(path, sizeof(path), pid, tid, "status");
	return slurp(path, text, size);
}

int proc_dying(pid_t pid)
{
	struct proc_status status;
	struct proc_stat stat;

	/* Exit of any thread for all sends SIGKILL to the others. */
	return proc_stat(pid, 0, &stat) < 0 || stat.state == 'Z' ||
	       stat.state == 'X' || (stat.flags & PF_EXITING) ||
	       proc_status(pid, &status) < 0 ||
	       (status.pending >> (SIGKILL - 1) & 1);
}

static DIR *task_dir(pid_t pid)
{
	char path[64];

	path_of(path, sizeof(path), pid, 0, "task");
	return opendir(path);
}

/* opendir() takes as long as all the rest, where there is little to read. */
int proc_numbers(const char *path,
		 void (*found)(int dir, const char *name, void *data),
		 void *data)
{
	union {
		struct dirent64 entry;
		char space[2048];
	} room;
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ssize_t got, at;

	if (dir < 0)
		return -errno;
	while ((got = getdents64(dir, &room, sizeof(room))) > 0)
		for (at = 0; at < got;) {
			const struct dirent64 *entry =
				(const void *)(room.space + at);

			at += entry->d_reclen;
			if (isdigit((unsigned char)*entry->d_name))
				found(dir, entry->d_name, data);
		}
	close(dir);
	return 0;
}

struct threads {
	pid_t *list;
	int count, room;
};

static void thread_found(int dir, const char *name, void *data)
{
	struct threads *threads = data;

	(void)dir;
	if (threads->count == threads->room) {
		int room = threads->room ? 2 * threads->room : 64;
		pid_t *more = reallocarray(threads->list, (size_t)room,
					   sizeof(*more));

		if (!more)
			return;
		threads->list = more;
		threads->room = room;
	}
	threads->list[threads->count++] = (pid_t)atoi(name);
}

int proc_all_threads(pid_t pid, pid_t **tids)
{
	struct threads threads = {0};
	char path[64];

	path_of(path, sizeof(path), pid, 0, "task");
	proc_numbers(path, thread_found, &threads);
	*tids = threads.list;
	return threads.count;
}

int proc_threads(pid_t pid, pid_t *tids, int max)
{
	DIR *dir = task_dir(pid);
	struct dirent *entry;
	int count = 0;

	if (!dir)
		return -errno;
	while (count < max && (entry = readdir(dir))) {
		struct proc_stat stat;
		pid_t tid = atoi(entry->d_name);

		if (tid <= 0 || proc_stat(pid, tid, &stat) < 0 ||
		    stat.state == 'Z' || stat.state == 'X')
			continue;
		tids[count++] = tid;
	}
	closedir(dir);
	return count;
}

int proc_has_stopped(pid_t pid)
{
	struct proc_stat stat;
	pid_t tids[256];
	int count = proc_threads(pid, tids, 256), i;

	for (i = 0; i < count; i++)
		if (proc_stat(pid, tids[i], &stat) == 0 && stat.state != 'T' &&
		    stat.state != 'Z' && stat.state != 'X')
			return 0;
	return 1;
}

/* Runs while everybody is parked, once for each thread: no stdio. */
static void children_of(int task_dir, const char *tid,
			void (*found)(pid_t child, void *data), void *data)
{
	char path[32], text[4096], *at = text, *end;
	ssize_t got;
	int fd, kept = 0;

	snprintf(path, sizeof(path), "%.16s/children", tid);
	fd = openat(task_dir, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	while ((got = read(fd, text + kept, sizeof(text) - 1 - (size_t)kept)) >
	       0) {
		text[kept + got] = 0;
		/* Each number is followed by a blank; one cut off is kept. */
		for (at = text; (end = strchr(at, ' ')); at = end + 1)
			found(atoi(at), data);
		kept = (int)strlen(at);
		memmove(text, at, (size_t)kept);
	}
	close(fd);
}

struct children {
	void (*found)(pid_t child, void *data);
	void *data;
};

static void task_children(int dir, const char *tid, void *data)
{
	const struct children *children = data;

	children_of(dir, tid, children->found, children->data);
}

int proc_children(pid_t pid, void (*found)(pid_t child, void *data), void *data)
{
	struct children children = {found, data};
	char path[64];

	path_of(path, sizeof(path), pid, 0, "task");
	return proc_numbers(path, task_children, &children);
}

void proc_everybody(void (*found)(pid_t pid, void *data), void *data)
{
	DIR *dir = opendir("/proc");
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		if (isdigit((unsigned char)entry->d_name[0]))
			found(atoi(entry->d_name), data);
	if (dir)
		closedir(dir);
}

int proc_maps(pid_t pid, const char *name)
{
	char path[64], *line = NULL;
	size_t size = 0, length = strlen(name);
	ssize_t got;
	FILE *file;
	int ret = 0;

	path_of(path, sizeof(path), pid, 0, "maps");
	file = fopen(path, "re");
	if (!file)
		return -errno;
	while (!ret && (got = getline(&line, &size, file)) > 0) {
		const char *slash = strrchr(line, '/');

		ret = slash && strncmp(slash + 1, name, length) == 0;
	}
	free(line);
	fclose(file);
	return ret;
}

/* Of a line of maps: device, inode and path. */
static const char *maps_file(const char *line)
{
	for (int field = 0; *line && field < 3; line++)
		field += *line == ' ';
	return line;
}

int proc_maps_ours(pid_t pid, const void *address)
{
	char path[64], *line = NULL, *file = NULL;
	size_t size = 0;
	FILE *maps = fopen("/proc/self/maps", "re");
	int ret = 0;

	while (maps && !file && getline(&line, &size, maps) > 0)
		if (strtoull(line, NULL, 16) == (uintptr_t)address)
			file = strdup(maps_file(line));
	if (maps)
		fclose(maps);
	path_of(path, sizeof(path), pid, 0, "maps");
	maps = file ? fopen(path, "re") : NULL;
	while (maps && !ret && getline(&line, &size, maps) > 0)
		ret = strcmp(maps_file(line), file) == 0;
	if (maps)
		fclose(maps);
	free(line);
	free(file);
	return ret;
}

int proc_environment(pid_t pid, const char *variable)
{
	char path[64], *text = NULL;
	size_t size = 0;
	FILE *file;
	int ret = 0;

	path_of(path, sizeof(path), pid, 0, "environ");
	file = fopen(path, "re");
	while (file && !ret && getdelim(&text, &size, 0, file) > 0)
		ret = strcmp(text, variable) == 0;
	if (file)
		fclose(file);
	free(text);
	return ret;
}

int proc_same_memory(pid_t a, pid_t b)
{
	return syscall(SYS_kcmp, a, b, KCMP_VM, 0, 0) == 0;
}

void proc_call(pid_t pid, pid_t tid, struct registry_call *call)
{
	char path[64], text[256], *at = text;

	call->nr = -1;
	path_of(path, sizeof(path), pid, tid, "syscall");
	if (slurp(path, text, sizeof(text)) <= 0 || !isdigit(text[0]))
		return;
	call->nr = strtoll(at, &at, 10);
	for (int i = 0; i < 6; i++)
		call->arguments[i] = strtoull(at, &at, 16);
	call->sp = strtoull(at, &at, 16);
	call->ip = strtoull(at, &at, 16);
}

void proc_describe(pid_t pid, char *text, size_t size)
{
	char path[64], where[128] = "", call[128] = "";
	struct proc_status status = {0};
	struct proc_stat stat;

	if (proc_stat(pid, 0, &stat) < 0) {
		snprintf(text, size, "has ended");
		return;
	}
	proc_status(pid, &status);
	path_of(path, sizeof(path), pid, 0, "wchan");
	slurp(path, where, sizeof(where));
	path_of(path, sizeof(path), pid, 0, "syscall");
	if (slurp(path, call, sizeof(call)) > 0)
		call[strcspn(call, " \n")] = 0;
	if (where[0] == 0 || strcmp(where, "0") == 0)
		snprintf(where, sizeof(where), "the kernel");
	switch (stat.state) {
	case 'T':
		snprintf(text, size,
			 "is stopped by a signal; continue it: kill -CONT %d",
			 pid);
		break;
	case 't':
		snprintf(text, size,
			 "is held by its tracer, process %d; let it run",
			 status.tracer);
		break;
	case 'D':
		snprintf(text, size,
			 "is in uninterruptible sleep in %s (system call %s)",
			 where, call[0] ? call : "unknown");
		break;
	case 'Z':
		snprintf(text, size, "is ending");
		break;
	case 'R':
		snprintf(text, size, "is running");
		break;
	default:
		snprintf(text, size, "sleeps in %s (system call %s)", where,
			 call[0] ? call : "unknown");
	}
	if (status.tracer && stat.state != 't') {
		size_t length = strlen(text);

		snprintf(text + length, size - length, ", traced by process %d",
			 status.tracer);
	}
}

/*
 * se.exec_start is when a thread last ran, in its CPU's own clock. To read
 * that clock we run there for an instant: our own exec_start is then "now".
 * One measurement a CPU is good for the stop of a whole group.
 */
#define CPUS 1024
static struct {
	int64_t offset[CPUS]; /* to CLOCK_MONOTONIC; INT64_MIN: failed */
	unsigned char known[CPUS];
} clocks;

void proc_clocks_forget(void)
{
	memset(clocks.known, 0, sizeof(clocks.known));
}

/* ns, or -1 */
static int64_t exec_start(const char *path, uint64_t *switches)
{
	char text[4096], *at;
	int64_t ms, fraction;

	if (slurp(path, text, sizeof(text)) < 0)
		return -1;
	at = strstr(text, "\nnr_voluntary_switches");
	at = at ? strchr(at, ':') : NULL;
	*switches = at ? strtoull(at + 1, NULL, 10) : 0;
	at = strstr(text, "se.exec_start");
	at = at ? strchr(at, ':') : NULL;
	if (!at)
		return -1;
	ms = strtoll(at + 1, &at, 10);
	fraction = *at == '.' ? strtoll(at + 1, NULL, 10) : 0;
	return ms * 1000000 + fraction;
}

static int64_t clock_measure(int cpu)
{
	int64_t best = INT64_MIN, shortest = INT64_MAX;
	uint64_t switches;
	char self[64];
	cpu_set_t before, there;

	CPU_ZERO(&there);
	CPU_SET(cpu, &there);
	path_of(self, sizeof(self), getpid(), (pid_t)syscall(SYS_gettid),
		"sched");
	if (sched_getaffinity(0, sizeof(before), &before) < 0)
		return best;
	if (sched_setaffinity(0, sizeof(there), &there) < 0)
		return best;
	/* We may be preempted between the two readings: the try in which
	 * least time went by is the truest. */
	for (int i = 0; i < 3; i++) {
		int64_t started, run, now;

		started = (int64_t)loop_now();
		sched_yield();
		now = (int64_t)loop_now();
		run = exec_start(self, &switches);
		if (run < 0)
			break;
		if (now - started < shortest) {
			shortest = now - started;
			best = now - run;
		}
		if (shortest < 50000)
			break;
	}
	sched_setaffinity(0, sizeof(before), &before);
	return best;
}

uint64_t proc_asleep_since(pid_t pid, pid_t tid, uint64_t *switches)
{
	struct proc_stat stat;
	char path[64];
	int64_t since, now = (int64_t)loop_now();

	*switches = 0;
	if (proc_stat(pid, tid, &stat) < 0 || stat.state != 'S' ||
	    stat.processor < 0 || stat.processor >= CPUS)
		return 0;
	path_of(path, sizeof(path), pid, tid, "sched");
	since = exec_start(path, switches);
	if (since < 0)
		return 0;
	if (!clocks.known[stat.processor]) {
		clocks.offset[stat.processor] = clock_measure(stat.processor);
		clocks.known[stat.processor] = 1;
	}
	if (clocks.offset[stat.processor] == INT64_MIN)
		return 0;
	since += clocks.offset[stat.processor];
	return since > 0 && since < now ? (uint64_t)since : (uint64_t)now;
}
