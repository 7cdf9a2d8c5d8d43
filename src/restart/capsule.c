/* SPDX-License-Identifier: MIT */
/*
 * Making the namespaces. A helper leaves ours for new ones, sets the clocks
 * while nobody is inside, makes the capsule's init as a child of ckpt_restart
 * (CLONE_PARENT) and ends.
 *
 * Tried in this order: without a user namespace (as root), with one, and, if
 * neither is allowed, no capsule at all: then the pids must be free here.
 */
#define _GNU_SOURCE
#include "restart/capsule.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "restart/job.h"
#include "restart/say.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

#define NAMESPACES (CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC)

/* What a helper leaves behind. */
struct answer {
	int error;
	pid_t init; /* as ckpt_restart sees it */
};

struct helper {
	struct job *job;
	enum capsule_kind kind;
	int socket, errors; /* the child's ends */
	int answer;	    /* write end: struct answer */
};

/* CKPT_MASK names it: do as if this system refused it. */
static int masked(const char *feature)
{
	const char *mask = getenv("CKPT_MASK");
	size_t length = strlen(feature);

	for (; mask && *mask; mask += strspn(mask, ",")) {
		size_t word = strcspn(mask, ",");

		if (word == length && memcmp(mask, feature, length) == 0)
			return 1;
		mask += word;
	}
	return 0;
}

static int write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), ret = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		ret = -errno;
	close(fd);
	return ret;
}

/* The own ids, as they are: nobody in the capsule is anybody else. */
static int map_ids(uid_t uid, gid_t gid)
{
	char map[64];
	int ret;

	ret = write_text("/proc/self/setgroups", "deny");
	if (ret < 0 && ret != -ENOENT)
		return ret;
	snprintf(map, sizeof(map), "%u %u 1", uid, uid);
	ret = write_text("/proc/self/uid_map", map);
	if (ret < 0)
		return ret;
	snprintf(map, sizeof(map), "%u %u 1", gid, gid);
	return write_text("/proc/self/gid_map", map);
}

static int64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Offsets count from the host's clocks; ours may have one already. */
static void read_offsets(int64_t *monotonic, int64_t *boottime)
{
	FILE *f = fopen("/proc/self/timens_offsets", "re");
	long long seconds, ns;
	char name[16];

	*monotonic = *boottime = 0;
	while (f && fscanf(f, "%15s %lld %lld", name, &seconds, &ns) == 3)
		*(*name == 'm' ? monotonic : boottime) =
			seconds * 1000000000 + ns;
	if (f)
		fclose(f);
}

/* "seconds nanoseconds", the second never negative. */
static int print_offset(char *text, size_t size, const char *name, int64_t ns)
{
	int64_t seconds = ns / 1000000000;

	ns %= 1000000000;
	if (ns < 0) {
		ns += 1000000000;
		seconds--;
	}
	return snprintf(text, size, "%s %lld %lld\n", name, (long long)seconds,
			(long long)ns);
}

/* The clocks go on where they stopped. */
static int set_clocks(const struct job *job)
{
	const struct image_process *then = job_root(job)->process;
	int64_t monotonic, boottime;
	char text[128];
	int length;

	read_offsets(&monotonic, &boottime);
	monotonic += (int64_t)then->monotonic - clock_ns(CLOCK_MONOTONIC);
	boottime += (int64_t)then->boottime - clock_ns(CLOCK_BOOTTIME);
	length = print_offset(text, sizeof(text), "monotonic", monotonic);
	print_offset(text + length, sizeof(text) - (size_t)length, "boottime",
		     boottime);
	return write_text("/proc/self/timens_offsets", text);
}

static _Noreturn void refused(const struct helper *h, int error)
{
	struct answer answer = {.error = error};

	_exit(write(h->answer, &answer, sizeof(answer)) < 0);
}

static _Noreturn void helper_main(const struct helper *h)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();
	struct answer answer = {0};
	int has_time = 1, ret;

	if (h->kind != CAPSULE_NONE) {
		int flags = NAMESPACES |
			    (h->kind == CAPSULE_USER ? CLONE_NEWUSER : 0);

		if (masked("namespaces"))
			refused(h, EPERM);
		if (unshare(flags) < 0)
			refused(h, errno);
		if (h->kind == CAPSULE_USER && (ret = map_ids(uid, gid)) < 0)
			refused(h, -ret);
		if (masked("time_namespaces") ||
		    unshare(CLONE_NEWTIME) < 0 || set_clocks(h->job) < 0)
			has_time = 0;
	}
	answer.init = (pid_t)syscall(SYS_clone,
				     (unsigned long)(CLONE_PARENT | SIGCHLD),
				     NULL, NULL, NULL, 0UL);
	if (answer.init == 0) {
		close(h->answer);
		init_main(h->job, h->kind, has_time, h->socket, h->errors);
	}
	if (answer.init < 0)
		refused(h, errno);
	if (write(h->answer, &answer, sizeof(answer)) < 0)
		_exit(1);
	_exit(0);
}

/* 0: the capsule's init runs; else the errno of what was refused. */
static int try(struct capsule *c, struct job *job, enum capsule_kind kind)
{
	struct helper h = {.job = job, .kind = kind};
	int sockets[2], errors[2], ends[2], one = 1;
	struct answer answer = {.error = EIO};
	pid_t helper;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) <
		    0 ||
	    setsockopt(sockets[0], SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)) <
		    0 ||
	    pipe2(errors, O_CLOEXEC) < 0 || pipe2(ends, O_CLOEXEC) < 0)
		fail("no descriptors left to start: %s", strerror(errno));
	h.socket = sockets[1];
	h.errors = errors[1];
	h.answer = ends[1];
	fflush(NULL);
	helper = fork();
	if (helper < 0)
		fail("fork: %s: the limit of processes may be reached (ulimit -u)",
		     strerror(errno));
	if (helper == 0) {
		close(sockets[0]);
		close(errors[0]);
		close(ends[0]);
		helper_main(&h);
	}
	close(sockets[1]);
	close(errors[1]);
	close(ends[1]);
	if (read(ends[0], &answer, sizeof(answer)) != sizeof(answer))
		answer.error = EIO;
	close(ends[0]);
	while (waitpid(helper, NULL, 0) < 0 && errno == EINTR)
		;
	if (answer.error) {
		close(sockets[0]);
		close(errors[0]);
		return answer.error;
	}
	c->kind = kind;
	c->init = answer.init;
	c->socket = sockets[0];
	c->errors = errors[0];
	return 0;
}

static _Noreturn void explain(int error)
{
	char text[64] = "";
	FILE *f = fopen("/proc/sys/kernel/unprivileged_userns_clone", "re");

	if (f) {
		if (fgets(text, sizeof(text), f) && *text == '0')
			fail("this system refuses user namespaces: sysctl kernel.unprivileged_userns_clone=1 allows them, or restart as root");
		fclose(f);
	}
	f = fopen("/proc/sys/user/max_user_namespaces", "re");
	if (f) {
		if (fgets(text, sizeof(text), f) && atoi(text) == 0)
			fail("this system allows no user namespaces: sysctl user.max_user_namespaces=10000 allows them, or restart as root");
		fclose(f);
	}
	f = fopen("/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
		  "re");
	if (f) {
		if (fgets(text, sizeof(text), f) && *text == '1')
			fail("AppArmor refuses user namespaces: sysctl kernel.apparmor_restrict_unprivileged_userns=0 allows them, or restart as root");
		fclose(f);
	}
	fail("the namespaces in which the program finds its ids again are refused (%s): inside a container, allow them (docker run --privileged, or a seccomp profile with unshare and clone3), or restart as root",
	     strerror(error));
}

void capsule_start(struct capsule *c, struct job *job)
{
	int error = EPERM;

	memset(c, 0, sizeof(*c));
	if (job->options->capsule != CAPSULE_NEVER) {
		if (geteuid() == 0) {
			error = try(c, job, CAPSULE_ROOT);
			if (!error)
				return;
		}
		/* In a user namespace there is nobody else to be. */
		if (!job->has_ids)
			error = try(c, job, CAPSULE_USER);
		if (!error)
			return;
	}
	if (job->options->capsule == CAPSULE_ALWAYS)
		explain(error);
	if (job->options->capsule == CAPSULE_AUTO && geteuid() != 0)
		explain(error);
	error = try(c, job, CAPSULE_NONE);
	if (error)
		fail("the program cannot be started: %s", strerror(error));
	report("no capsule: the program has its pid in place, its monotonic clock jumps");
}

static void remove_group_dir(const struct capsule *c)
{
	static const char *const names[] = {"agent.sock", "agent.lock",
					    "agent.log", "registry"};
	int dir = open(c->group_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	size_t i;

	if (dir < 0)
		return;
	for (i = 0; i < sizeof(names) / sizeof(*names); i++)
		unlinkat(dir, names[i], 0);
	close(dir);
	rmdir(c->group_dir);
}

void capsule_destroy(struct capsule *c)
{
	struct capsule_message abort = {.type = CAPSULE_ABORT};

	if (!c->init)
		return;
	if (c->kind == CAPSULE_NONE)
		send(c->socket, &abort, sizeof(abort), MSG_NOSIGNAL);
	else
		kill(c->init, SIGKILL);
	while (waitpid(c->init, NULL, 0) < 0 && errno == EINTR)
		;
	c->init = 0;
	if (*c->group_dir)
		remove_group_dir(c);
}
