/* SPDX-License-Identifier: MIT */
/*
 * Sets every attribute of a process and its threads that an ordinary user may
 * set to something unusual, writes all of them down, and compares when the
 * gate file exists.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/capability.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#ifndef PR_GET_THP_DISABLE
#define PR_SET_THP_DISABLE 41
#define PR_GET_THP_DISABLE 42
#endif

struct notes {
	char *text;
	size_t length, room;
};

static void note(struct notes *n, const char *format, ...)
{
	va_list arguments;

	if (n->room - n->length < 8192)
		n->text = realloc(n->text, n->room += 65536);
	va_start(arguments, format);
	n->length += (size_t)vsnprintf(n->text + n->length, 8192, format, arguments);
	va_end(arguments);
}

static void note_bytes(struct notes *n, const char *what, const char *path)
{
	char buffer[16384];
	FILE *f = fopen(path, "r");
	size_t got = f ? fread(buffer, 1, sizeof(buffer), f) : 0;
	uint64_t hash = 1469598103934665603u;

	for (size_t i = 0; i < got; i++)
		hash = (hash ^ (unsigned char)buffer[i]) * 1099511628211u;
	note(n, "%s: %zu bytes, %016lx\n", what, got, (unsigned long)hash);
	if (f)
		fclose(f);
}

static void note_status(struct notes *n, const char *path)
{
	static const char *const keep[] = {
		"Name", "Umask", "Tgid", "Pid", "Uid", "Gid", "Groups", "Threads",
		"SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt", "CapInh",
		"CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp",
		"THP_enabled", "VmLck", "CoreDumping",
	};
	char line[1024];
	FILE *f = fopen(path, "r");

	while (f && fgets(line, sizeof(line), f))
		for (size_t i = 0; i < sizeof(keep) / sizeof(*keep); i++)
			if (!strncmp(line, keep[i], strlen(keep[i])) &&
			    line[strlen(keep[i])] == ':')
				note(n, "%s", line);
	if (f)
		fclose(f);
}

struct attr {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
};

static void note_thread(struct notes *n)
{
	char name[32] = "", path[64];
	struct attr attr = {.size = sizeof(attr)};
	cpu_set_t cpus;
	stack_t stack;
	sigset_t mask;
	int tid = (int)syscall(SYS_gettid);

	prctl(PR_GET_NAME, name);
	syscall(SYS_sched_getattr, 0, &attr, sizeof(attr), 0);
	CPU_ZERO(&cpus);
	sched_getaffinity(0, sizeof(cpus), &cpus);
	sigaltstack(NULL, &stack);
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	note(n, "thread %d name %s nice %d policy %u priority %u flags %lu\n", tid,
	     name, attr.nice, attr.policy, attr.priority, (unsigned long)attr.flags);
	note(n, " cpus %d ioprio %ld timerslack %d altstack %p %d %zu\n",
	     CPU_COUNT(&cpus), syscall(SYS_ioprio_get, 1, 0),
	     prctl(PR_GET_TIMERSLACK), stack.ss_sp, stack.ss_flags, stack.ss_size);
	snprintf(path, sizeof(path), "/proc/self/task/%d/status", tid);
	note_status(n, path);
}

static void note_process(struct notes *n)
{
	char link[4096];
	int value = 0;
	ssize_t length;
	struct itimerval timer;

	note(n, "pid %d uid %d gid %d umask %o\n", getpid(), getuid(), getgid(),
	     (unsigned)({ mode_t m = umask(0); umask(m); m; }));
	for (int r = 0; r < RLIM_NLIMITS; r++) {
		struct rlimit limit;

		getrlimit((__rlimit_resource_t)r, &limit);
		note(n, "rlimit %d %lu %lu\n", r, (unsigned long)limit.rlim_cur,
		     (unsigned long)limit.rlim_max);
	}
	length = readlink("/proc/self/exe", link, sizeof(link) - 1);
	note(n, "exe %.*s\n", (int)length, link);
	note(n, "cwd %s\n", getcwd(link, sizeof(link)));
	note_bytes(n, "cmdline", "/proc/self/cmdline");
	note_bytes(n, "environ", "/proc/self/environ");
	note_bytes(n, "auxv", "/proc/self/auxv");
	note_bytes(n, "oom_score_adj", "/proc/self/oom_score_adj");
	note_bytes(n, "coredump_filter", "/proc/self/coredump_filter");
	note_bytes(n, "timerslack", "/proc/self/timerslack_ns");
	note_bytes(n, "limits", "/proc/self/limits");
	prctl(PR_GET_PDEATHSIG, &value);
	note(n, "dumpable %d pdeathsig %d", prctl(PR_GET_DUMPABLE), value);
	value = 0;
	prctl(PR_GET_CHILD_SUBREAPER, &value);
	note(n, " subreaper %d nnp %d thp %d keepcaps %d securebits %d\n", value,
	     prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0),
	     prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), prctl(PR_GET_KEEPCAPS),
	     prctl(PR_GET_SECUREBITS));
	note(n, "personality %x brk %p membarrier %ld\n", personality(0xffffffff),
	     sbrk(0), syscall(SYS_membarrier, 1 << 9, 0, 0));
	note(n, "priority %d\n", getpriority(PRIO_PROCESS, 0));
	getitimer(ITIMER_REAL, &timer);
	note(n, "itimer every %ld s\n", (long)timer.it_interval.tv_sec);
	for (int s = 1; s < 65; s++) {
		struct {
			void *handler;
			unsigned long flags, restorer, mask;
		} action;

		if (s == 32 || s == 33)
			continue;
		syscall(SYS_rt_sigaction, s, NULL, &action, 8);
		note(n, "signal %d %p %lx %lx\n", s, action.handler, action.flags,
		     action.mask);
	}
	note_thread(n);
}

static pthread_barrier_t noted, gate_open;
static struct notes thread_before, thread_after;

static void *other(void *arg)
{
	sigset_t set;
	cpu_set_t one;

	(void)arg;
	prctl(PR_SET_NAME, "other");
	prctl(PR_SET_TIMERSLACK, 70000);
	setpriority(PRIO_PROCESS, 0, 7);
	syscall(SYS_ioprio_set, 1, 0, 2 << 13 | 6);
	CPU_ZERO(&one);
	CPU_SET(0, &one);
	sched_setaffinity(0, sizeof(one), &one);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	sigaddset(&set, SIGRTMIN + 3);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	pthread_kill(pthread_self(), SIGUSR2);
	pthread_kill(pthread_self(), SIGRTMIN + 3);
	pthread_kill(pthread_self(), SIGRTMIN + 3);
	note_thread(&thread_before);
	pthread_barrier_wait(&noted);
	pthread_barrier_wait(&gate_open);
	note_thread(&thread_after);
	return NULL;
}

static void handler(int signal)
{
	(void)signal;
}

static unsigned long threads(void)
{
	struct stat st;

	return stat("/proc/self/task", &st) == 0 ? (unsigned long)st.st_nlink : 0;
}

static void compare(const char *what, const struct notes *a, const struct notes *b,
		    int *bad)
{
	const char *p = a->text, *q = b->text;

	while (*p || *q) {
		int m = (int)strcspn(p, "\n"), n = (int)strcspn(q, "\n");

		if (m != n || memcmp(p, q, (size_t)m)) {
			printf("WRONG: %s\n\twas %.*s\n\tis  %.*s\n", what, m, p, n, q);
			*bad = 1;
		}
		p += m + (p[m] == '\n');
		q += n + (q[n] == '\n');
	}
}

int main(int argc, char **argv)
{
	struct notes before = {0}, after = {0};
	unsigned long alone;
	struct itimerval timer = {{100, 0}, {90, 0}};
	struct rlimit limit;
	struct sigaction action = {.sa_handler = handler, .sa_flags = SA_ONSTACK};
	sigset_t set;
	stack_t stack = {.ss_sp = malloc(65536), .ss_size = 65536};
	pthread_t thread;
	int bad = 0;

	(void)argc;
	umask(027);
	if (chdir("/usr"))
		return 2;
	prctl(PR_SET_NAME, "unusual name");
	prctl(PR_SET_PDEATHSIG, SIGUSR1);
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	prctl(PR_SET_TIMERSLACK, 60000);
	personality(personality(0xffffffff) | ADDR_NO_RANDOMIZE);
	syscall(SYS_membarrier, 1 << 4, 0, 0);
	setpriority(PRIO_PROCESS, 0, 3);
	syscall(SYS_ioprio_set, 1, 0, 2 << 13 | 5);
	for (int r = 0; r < RLIM_NLIMITS; r++) {
		getrlimit((__rlimit_resource_t)r, &limit);
		if (r == RLIMIT_NOFILE)
			limit.rlim_cur = limit.rlim_cur > 777 ? 777 : limit.rlim_cur;
		if (r == RLIMIT_CORE)
			limit.rlim_cur = limit.rlim_max = 0;
		if (r == RLIMIT_STACK)
			limit.rlim_cur = 7 << 20;
		setrlimit((__rlimit_resource_t)r, &limit);
	}
	setitimer(ITIMER_REAL, &timer, NULL);
	sigaltstack(&stack, NULL);
	sigaction(SIGUSR1, &action, NULL);
	sigaction(SIGALRM, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGRTMIN + 1);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	kill(getpid(), SIGHUP);
	for (int i = 0; i < 3; i++)
		sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = 100 + i});
	{
		FILE *f = fopen("/proc/self/oom_score_adj", "w");

		fputs("321", f);
		fclose(f);
		f = fopen("/proc/self/coredump_filter", "w");
		fputs("0x7", f);
		fclose(f);
	}
	pthread_barrier_init(&noted, NULL, 2);
	pthread_barrier_init(&gate_open, NULL, 2);
	pthread_create(&thread, NULL, other, NULL);
	pthread_barrier_wait(&noted);
	alone = threads();
	puts("settling"); /* so that stdio has its buffers and brk stands still */
	note_process(&after);
	note_process(&before);
	after.length = 0;
	puts("ready");
	fflush(stdout);
	while (access(argv[1], F_OK) != 0)
		usleep(1000);
	/* The service thread may be about to end. */
	for (int i = 0; threads() != alone && i < 10000; i++)
		usleep(1000);
	note_process(&after);
	pthread_barrier_wait(&gate_open);
	pthread_join(thread, NULL);
	compare("process", &before, &after, &bad);
	compare("thread", &thread_before, &thread_after, &bad);
	for (int i = 0; i < 3; i++) { /* the payloads, in order */
		struct timespec none = {0, 0};
		siginfo_t info;

		sigemptyset(&set);
		sigaddset(&set, SIGRTMIN + 1);
		if (sigtimedwait(&set, &info, &none) < 0 ||
		    info.si_value.sival_int != 100 + i || info.si_code != SI_QUEUE) {
			printf("WRONG: queued signal %d\n", i);
			bad = 1;
		}
	}
	getitimer(ITIMER_REAL, &timer);
	if (timer.it_value.tv_sec > 90 || timer.it_value.tv_sec < 10) {
		printf("WRONG: itimer has %ld s left\n", (long)timer.it_value.tv_sec);
		bad = 1;
	}
	printf("done %s\n", bad ? "WRONG" : "ok");
	return bad;
}
