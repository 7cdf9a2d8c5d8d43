/* SPDX-License-Identifier: MIT */
/*
 * The first process in the capsule (pid 1, unless there is no pid namespace):
 * it makes the ground, starts the agent, makes every process with its old pid,
 * reaps, and tells ckpt_restart how the root process fares. It outlives
 * ckpt_restart when need be, and ends when nobody is left but itself.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "restart/capsule.h"
#include "restart/files.h"
#include "restart/job.h"
#include "restart/say.h"
#include "restart/tree.h"
#include "util/paths.h"
#include "util/runtime.h"

#define AGENT_READY_MS 20000

static struct {
	struct job *job;
	enum capsule_kind kind;
	int socket;	  /* to ckpt_restart; -1: it has gone */
	pid_t agent;	  /* 0: there is none */
	pid_t root;
	char group_dir[96];
} init;

static void tell(uint32_t type, int status, pid_t pid)
{
	struct capsule_message message = {
		.type = type, .status = status, .pid = pid};

	if (init.socket >= 0)
		send(init.socket, &message, sizeof(message), MSG_NOSIGNAL);
}

/* ---- the ground ---- */

static void mount_proc(void)
{
	if (init.kind == CAPSULE_NONE)
		return;
	/* What is mounted on the machine later shows up here as well. */
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		fail("the capsule's mounts cannot be separated: %s",
		     strerror(errno));
	if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC,
		  NULL) < 0)
		fail("/proc cannot be mounted for the capsule's pids: %s; inside a container, allow it (docker run --security-opt systempaths=unconfined) or use --capsule never as root",
		     strerror(errno));
}

/* New terminals begin at number 0, and those that are to be made again get
 * theirs. Those from outside are hidden, but stay open where they are. */
static void mount_terminals(void)
{
	static const char plain[] = "newinstance,mode=0620,ptmxmode=0666";
	char with_group[64];
	struct statfs fs;
	struct stat st;

	if (init.kind == CAPSULE_NONE || !init.job->terminals)
		return;
	snprintf(with_group, sizeof(with_group), "%s,gid=5", plain);
	if (mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
		  with_group) < 0 &&
	    mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
		  plain) < 0) {
		report("/dev/pts cannot be mounted for the program's terminals (%s): they may get other numbers",
		       strerror(errno));
		return;
	}
	/* In a container it may be one of the hidden ones. */
	if (lstat("/dev/ptmx", &st) == 0 && S_ISCHR(st.st_mode) &&
	    statfs("/dev/ptmx", &fs) == 0 && fs.f_type == DEVPTS_SUPER_MAGIC)
		mount("/dev/pts/ptmx", "/dev/ptmx", NULL, MS_BIND, NULL);
}

/* The capsule's ids end where they do on this machine: left alone, they would
 * go on to where no other machine could give them back. */
static void limit_ids(void)
{
	char text[16];
	int length = snprintf(text, sizeof(text), "%d", init.job->pid_max);
	int fd;

	if (init.kind == CAPSULE_NONE || ids_limit() == init.job->pid_max)
		return; /* it is the machine's own limit that stands there */
	fd = open("/proc/sys/kernel/pid_max", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (write(fd, text, (size_t)length) != length)
		report("the capsule's ids go on beyond %s: %s", text,
		       strerror(errno));
	close(fd);
}

/* Further ids come behind all those that are to be taken again. */
static void steer_ids(void)
{
	char text[16];
	int fd = open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC);
	int length = snprintf(text, sizeof(text), "%d", init.job->last_pid);

	if (init.kind == CAPSULE_NONE) {
		close(fd);
		return;
	}
	if (fd < 0 || write(fd, text, (size_t)length) != length)
		fail("/proc/sys/kernel/ns_last_pid cannot be set: %s",
		     strerror(errno));
	close(fd);
}

static void make_group_dir(void)
{
	struct capsule_message message = {.type = CAPSULE_GROUP};
	char runtime[sizeof(init.group_dir)], error[256];
	int length;

	if (util_runtime(runtime, sizeof(runtime), error, sizeof(error)) < 0)
		fail("%s", error);
	length = snprintf(init.group_dir, sizeof(init.group_dir), "%s/%s-%lu",
			  runtime, init.job->computation, util_host_group());
	if (length >= (int)sizeof(init.group_dir))
		fail("%s is too long a path: set XDG_RUNTIME_DIR to a shorter one",
		     runtime);
	if (mkdir(init.group_dir, 0700) < 0 && errno != EEXIST)
		fail("%s: %s", init.group_dir, strerror(errno));
	strcpy(message.text, init.group_dir);
	send(init.socket, &message, sizeof(message), MSG_NOSIGNAL);
}

/* ---- the agent ---- */

static _Noreturn void agent_exec(int ready, int words, int first)
{
	char path[4096], expect[16], life[16], index[16], ready_text[16];
	struct job *job = init.job;
	const char *argv[24];
	sigset_t none;
	int n = 0, null = open("/dev/null", O_RDWR), i;

	if (util_find_program("ckpt_agent", path, sizeof(path)) < 0) {
		dprintf(words, "ckpt_agent is nowhere: install it again");
		_exit(99);
	}
	snprintf(expect, sizeof(expect), "%zu", job->process_count);
	snprintf(index, sizeof(index), "%d", job->group);
	snprintf(life, sizeof(life), "%u", job->life);
	snprintf(ready_text, sizeof(ready_text), "%d", 3);
	argv[n++] = "ckpt_agent";
	argv[n++] = "--group-dir";
	argv[n++] = init.group_dir;
	argv[n++] = "--coordinator";
	argv[n++] = job->coordinator;
	argv[n++] = "--computation";
	argv[n++] = job->computation;
	argv[n++] = "--ready-fd";
	argv[n++] = ready_text;
	argv[n++] = "--capsule";
	argv[n++] = "--index";
	argv[n++] = index;
	if (first) {
		argv[n++] = "--expect";
		argv[n++] = expect;
		argv[n++] = "--life";
		argv[n++] = life;
		argv[n] = tree_stopped(job);
		if (argv[n]) {
			argv[n + 1] = argv[n];
			argv[n] = "--stopped";
			n += 2;
		}
	}
	argv[n] = NULL;
	sigemptyset(&none);
	for (i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid(); /* the terminal is none of its business */
	ready = fcntl(ready, F_DUPFD, 10);
	words = fcntl(words, F_DUPFD, 10);
	dup2(null, 0);
	dup2(null, 1);
	dup2(words, 2);
	dup2(ready, 3);
	close_range(4, ~0u, 0);
	unsetenv("LD_PRELOAD");
	execv(path, (char *const *)argv);
	dprintf(2, "%s: %s", path, strerror(errno));
	_exit(99);
}

/* Its last words, when it ends before it is ready: a file, so that nobody
 * has to read while it runs. */
static _Noreturn void agent_failed(int words, const char *why)
{
	char text[512];
	ssize_t length = pread(words, text, sizeof(text) - 1, 0);

	text[length > 0 ? length : 0] = 0;
	text[strcspn(text, "\n")] = 0;
	fail("the agent in the capsule %s%s%s", why, *text ? ": " : "", text);
}

static void agent_start(void)
{
	int ready[2], words = memfd_create("ckpt-agent", MFD_CLOEXEC);
	struct pollfd wait;
	char byte;

	if (words < 0 || pipe2(ready, O_CLOEXEC) < 0)
		fail("the agent cannot be started: %s", strerror(errno));
	init.agent = tree_fork(
		init.kind == CAPSULE_NONE ? 0 : init.job->agent_tid, SIGCHLD);
	if (init.agent == 0)
		agent_exec(ready[1], words, 1);
	if (init.agent < 0)
		fail("the agent cannot be started: %s", strerror(errno));
	close(ready[1]);
	wait.fd = ready[0];
	wait.events = POLLIN;
	if (poll(&wait, 1, AGENT_READY_MS) != 1)
		agent_failed(words, "does not answer");
	if (read(ready[0], &byte, 1) != 1)
		agent_failed(words, "ended");
	close(ready[0]);
	close(words);
}

/* It was killed while processes are there. If it cannot be, no checkpoint can
 * be made any more, which is no reason to end anything. */
static void agent_start_again(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	init.agent = tree_fork(0, SIGCHLD);
	if (init.agent == 0)
		agent_exec(null, null, 0);
	if (init.agent < 0)
		init.agent = 0;
	close(null);
}

/* ---- the processes ---- */

/* Nobody's end of file waits for us from here on. */
static void let_go(int signals)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), i;

	for (i = 0; i < 3; i++)
		dup2(null, i);
	dup2(signals, 3);
	if (init.socket >= 0)
		dup2(init.socket, 4);
	init.socket = 4;
	close_range(5, ~0u, 0);
}

static void child_changed(const siginfo_t *info)
{
	int status = 0, gone = info->si_code != CLD_STOPPED &&
			       info->si_code != CLD_CONTINUED;

	if (gone)
		waitpid(info->si_pid, &status, 0);
	if (info->si_pid == init.agent && gone) {
		init.agent = 0;
		if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
			return;
		/* Killed: whoever is still there needs one. */
		if (waitid(P_ALL, 0, &(siginfo_t){0},
			   WEXITED | WNOHANG | WNOWAIT) == 0 ||
		    errno != ECHILD)
			agent_start_again();
		return;
	}
	if (info->si_pid != init.root)
		return;
	if (info->si_code == CLD_STOPPED)
		tell(CAPSULE_STOPPED, info->si_status, init.root);
	else if (info->si_code == CLD_CONTINUED)
		tell(CAPSULE_CONTINUED, 0, init.root);
	else
		tell(CAPSULE_EXITED, status, init.root);
	if (gone)
		init.root = 0;
}

/* 0: there are no children any more. */
static int reap(void)
{
	siginfo_t info;

	for (;;) {
		info.si_pid = 0;
		/* WNOWAIT: an end is fetched by waitpid, with its full status */
		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0)
			return errno != ECHILD;
		if (info.si_pid) {
			child_changed(&info);
			continue;
		}
		if (waitid(P_ALL, 0, &info, WSTOPPED | WCONTINUED | WNOHANG) <
			    0 ||
		    !info.si_pid)
			return 1;
		child_changed(&info);
	}
}

/* Without a namespace whoever loses its parent comes to us. */
static void kill_children(void)
{
	char path[64], *line = NULL, *at;
	size_t size = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", getpid());
	do {
		f = fopen(path, "re");
		if (!f || getline(&line, &size, f) < 0)
			*(line ? line : (line = calloc(1, 1))) = 0;
		if (f)
			fclose(f);
		for (at = line; *at; at += strcspn(at, " "), at += *at == ' ')
			kill(atoi(at), SIGKILL);
	} while (waitpid(-1, NULL, __WALL) > 0 || errno == EINTR);
	free(line);
}

static _Noreturn void end_all(void)
{
	/* In a namespace of its own the kernel ends all the rest. */
	if (init.kind == CAPSULE_NONE)
		kill_children();
	_exit(99);
}

static void hear(void)
{
	struct capsule_message message;
	ssize_t length = recv(init.socket, &message, sizeof(message),
			      MSG_DONTWAIT);

	if (length == (ssize_t)sizeof(message) && message.type == CAPSULE_ABORT)
		end_all();
	if (length > 0 || (length < 0 && errno == EAGAIN))
		return;
	/* ckpt_restart has gone: the program goes on without it. */
	close(init.socket);
	init.socket = -1;
}

/* While the processes are being made. */
static void hear_early(void)
{
	if (init.socket >= 0)
		hear();
	if (init.socket < 0)
		end_all(); /* nobody wants it any more */
}

void init_main(struct job *job, enum capsule_kind kind, int has_time,
	       int socket, int errors)
{
	struct signalfd_siginfo signal_info;
	struct pollfd polls[2];
	sigset_t all;
	int signals;

	init.job = job;
	init.kind = kind;
	init.socket = socket;
	say_from_child(errors, socket);
	prctl(PR_SET_NAME, "ckpt_init");
	if (!has_time)
		report("this kernel has no time namespaces: the program's monotonic clock jumps");
	if (kind == CAPSULE_NONE) {
		say_on_failure(kill_children);
		prctl(PR_SET_CHILD_SUBREAPER, 1);
		job->helper_tid = 0; /* somebody may have it here */
	}
	sigfillset(&all); /* pid 1 or not: only SIGCHLD concerns us */
	sigprocmask(SIG_SETMASK, &all, NULL);
	sigemptyset(&all);
	sigaddset(&all, SIGCHLD);
	signals = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
	if (signals < 0)
		fail("signalfd: %s", strerror(errno));
	mount_proc();
	mount_terminals();
	if (kind != CAPSULE_NONE)
		files_cover(job);
	make_group_dir();
	limit_ids();
	steer_ids();
	agent_start();
	ground_make(job);
	commons_make(job);
	tree_grow(job, init.group_dir, kind != CAPSULE_USER, hear_early);
	ground_leave(job);
	init.root = job_root(job)->process->pid;
	tell(CAPSULE_STARTED, 0, init.root);
	signals = fcntl(signals, F_DUPFD_CLOEXEC, 10);
	init.socket = fcntl(init.socket, F_DUPFD_CLOEXEC, 10);
	let_go(signals);
	say_from_child(2, init.socket);
	for (;;) {
		if (!reap())
			_exit(0);
		polls[0].fd = 3;
		polls[0].events = POLLIN;
		polls[1].fd = init.socket;
		polls[1].events = POLLIN;
		if (poll(polls, 2, -1) < 0)
			continue;
		while (read(3, &signal_info, sizeof(signal_info)) > 0)
			;
		if (init.socket >= 0 && polls[1].revents)
			hear();
	}
}
