/* SPDX-License-Identifier: MIT */
/*
 * The snapshot: a child with a copy of memory, that writes while the program
 * runs on. With --sync, or where the child is refused (limits, overcommit), a
 * child that shares memory writes while the program stands; and where even
 * that is refused, the service thread itself.
 *
 * The child is invisible to the program: no signal at its end, and wait()
 * does not see it without __WCLONE. Being a process of its own, it can be
 * killed without harm. It says by a pipe when the program may go on.
 */
#define _GNU_SOURCE
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "preload/frozen/frozen.h"
#include "sys/thread.h"

#define STACK (256u << 10)

struct child {
	struct writer_job job;
	void *stack;
	int verdicts; /* our end of the pipe, -1 */
};

static void note_writer(int pid)
{
	frozen.writer_pid = pid;
	if (preload.slot)
		__atomic_store_n(&preload.slot->writer, pid, __ATOMIC_RELAXED);
}

/* 0, or a status that is not. */
int snapshot_reap(void)
{
	int status = 0;
	long ret;

	do {
		ret = SYS_CALL(SYS_wait4, frozen.writer_pid, &status, __WALL,
			       NULL);
	} while (ret == -EINTR);
	note_writer(0);
	return ret < 0 ? (int)ret : status;
}

static void kill_writer(void)
{
	if (!frozen.writer_pid)
		return;
	SYS_CALL(SYS_kill, frozen.writer_pid, SIGKILL);
	snapshot_reap();
}

static int child_start(struct child *c, uint64_t flags)
{
	struct sys_clone_args args = {
		.flags = flags, /* no exit signal */
		.stack = (uint64_t)c->stack,
		.stack_size = STACK,
	};
	int ends[2];
	long ret = SYS_CALL(SYS_pipe2, ends, O_CLOEXEC);

	if (ret < 0)
		return (int)ret;
	c->job.own_process = 1;
	c->job.own_memory = !(flags & CLONE_VM);
	c->job.verdict = ends[1];
	c->verdicts = ends[0];
	ret = sys_thread_clone(&args, writer_main, &c->job);
	sys_close(ends[1]);
	if (ret < 0)
		sys_close(ends[0]);
	else
		note_writer((int)ret);
	return ret < 0 ? (int)ret : 0;
}

/* 1: the child has said something. 0: it has ended. -errno: the agent wants
 * something else, and there is no child any more. */
static int child_hear(struct child *c, struct writer_verdict *v)
{
	struct pollfd fds[2] = {
		{.fd = c->verdicts, .events = POLLIN},
		{.fd = frozen.agent, .events = POLLIN},
	};
	struct service_message m;
	long ret;

	/* Memory is being written, maybe: this stack must not change. */
	do {
		ret = SYS_CALL(SYS_poll, fds, 2, -1);
	} while (ret == -EINTR);
	if (fds[0].revents)
		return sys_read(c->verdicts, v, sizeof(*v)) == sizeof(*v);
	kill_writer();
	ret = link_expect(SERVICE_RELEASE, &m);
	return ret < 0 ? (int)ret
		       : frozen_fail(-EPROTO, "released too early", NULL);
}

static int child_lost(int status)
{
	if (WIFSIGNALED(status))
		return frozen_fail(-EIO, "the writer was killed by signal ",
				   NUMBER(WTERMSIG(status)), NULL);
	return frozen_fail(-EIO, "the writer ended without a word", NULL);
}

static int child_failed(const struct writer_verdict *v)
{
	return frozen_fail(v->error < 0 ? v->error : -EIO, v->text, NULL);
}

/* Until the child says that the program may run. 1: read the areas exactly
 * and try again. */
static int await_ready(struct child *c)
{
	struct writer_verdict v;
	int ret = child_hear(c, &v);

	if (ret > 0 && v.verdict == VERDICT_READY)
		return 0;
	if (ret < 0)
		return ret;
	if (ret > 0 && v.verdict == VERDICT_AGAIN) {
		kill_writer();
		return 1;
	}
	if (ret > 0) {
		ret = child_failed(&v);
		kill_writer();
		return ret;
	}
	return child_lost(snapshot_reap());
}

/* Until it has written everything. */
static int await_written(struct child *c)
{
	struct writer_verdict v;
	int ret, status;

	do {
		ret = child_hear(c, &v);
		if (ret < 0)
			return ret;
		if (ret > 0 && v.verdict == VERDICT_FAILED)
			child_failed(&v);
	} while (ret > 0);
	status = snapshot_reap();
	if (frozen.error)
		return frozen.error;
	return status ? child_lost(status) : 0;
}

/* 0; 1: try again; -errno: *refused says that it was the clone. */
static int fork_writer(struct child *c, int *refused)
{
	int ret;

	areas_inherit(1);
	ret = frozen_masked("snapshot") ? -EAGAIN : child_start(c, 0);
	areas_inherit(0);
	*refused = ret < 0;
	if (ret < 0)
		return ret;
	ret = await_ready(c);
	sys_close(c->verdicts);
	return ret;
}

static int write_parked(struct child *c)
{
	/* It reads files of /proc that are root's when this is 0. */
	long dumpable = SYS_CALL(SYS_prctl, PR_GET_DUMPABLE, 0, 0, 0, 0);
	int ret;

	if (dumpable == 0)
		SYS_CALL(SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0);
	ret = frozen_masked("writer") ? -EAGAIN : child_start(c, CLONE_VM);
	if (ret == 0) {
		ret = await_written(c);
		sys_close(c->verdicts);
	} else {
		c->job = (struct writer_job){.verdict = -1};
		arch_on_stack((char *)c->stack + STACK, writer_main, &c->job);
		ret = c->job.status;
	}
	if (dumpable == 0)
		SYS_CALL(SYS_prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
	return ret;
}

int snapshot_enter(struct service_message *m)
{
	struct child *c = frozen_alloc(sizeof(*c));
	int ret = 1, refused = frozen.begin.sync;

	if (!c)
		return frozen.error;
	c->stack = frozen_alloc(STACK);
	if (!c->stack)
		return frozen.error;
	if (!refused)
		ret = fork_writer(c, &refused);
	if (ret == 1 && !frozen.exact) {
		frozen.exact = 1;
		frozen.exact_always |= !refused;
		ret = areas_detail();
		if (ret == 0 && !refused)
			ret = fork_writer(c, &refused);
	}
	if (ret == 1 && !refused)
		return frozen_fail(-EIO, "the snapshot lacks memory of the "
					 "program", NULL);
	if (refused) {
		m->snapshotted.fallback = ret < 0 ? (uint32_t)-ret : 0;
		if (!frozen.exact) {
			frozen.exact = 1;
			ret = areas_detail();
			if (ret < 0)
				return ret;
		}
		ret = write_parked(c);
	}
	m->snapshotted.writer = frozen.writer_pid;
	return ret;
}

void snapshot_leave(int ret)
{
	if (ret < 0)
		kill_writer();
}
