/* SPDX-License-Identifier: MIT */
/*
 * One checkpoint, as the service thread goes through it: wire/service.h tells
 * what is said to the agent, the table below what is done.
 *
 * Whatever happens, frozen_service() returns with all threads released, all
 * that was changed put back and all that was opened closed.
 */
#define _GNU_SOURCE
#include <sys/prctl.h>
#include <sys/wait.h>

#include "preload/frozen/frozen.h"
#include "sys/task.h"

struct frozen frozen;

/* ---- reasons ---- */

char *frozen_number(char *buffer, uint64_t value, unsigned base)
{
	struct sys_text t;

	sys_text_open(&t, buffer, 24);
	sys_text_put(&t, base == 16 ? "0x" : "");
	sys_text_number(&t, value, base);
	return buffer;
}

const char *frozen_strerror(int error)
{
	switch (-error) {
	case EPERM:
		return "not permitted";
	case ENOENT:
		return "no such file";
	case EIO:
		return "input/output error";
	case EBADF:
		return "bad descriptor";
	case EAGAIN:
		return "try again (a limit on processes?)";
	case ENOMEM:
		return "out of memory";
	case EACCES:
		return "permission denied";
	case EFAULT:
		return "bad address";
	case EBUSY:
		return "busy";
	case EINVAL:
		return "invalid argument";
	case ENFILE:
	case EMFILE:
		return "too many open files";
	case EFBIG:
		return "file too large (ulimit -f?)";
	case ENOSPC:
		return "no space left";
	case EDQUOT:
		return "disk quota exceeded";
	case EPIPE:
		return "the other side has gone";
	case ENOSYS:
		return "the kernel does not have this call";
	case EOVERFLOW:
		return "too much for one image";
	case ECONNREFUSED:
		return "nobody listens";
	case ETIMEDOUT:
		return "timed out";
	case EOPNOTSUPP:
		return "not supported";
	case EROFS:
		return "read-only file system";
	default:
		return "error";
	}
}

/* The service thread and, with --sync, its writer: never both at once. */
void frozen_fail_parts(int error, __builtin_va_list parts)
{
	struct sys_text t;
	const char *part;

	if (frozen.error)
		return;
	frozen.error = error;
	sys_text_open(&t, frozen.text, sizeof(frozen.text));
	while ((part = __builtin_va_arg(parts, const char *)) != NULL)
		sys_text_put(&t, part);
}

int frozen_fail(int error, ...)
{
	__builtin_va_list parts;

	__builtin_va_start(parts, error);
	frozen_fail_parts(error, parts);
	__builtin_va_end(parts);
	return error;
}

int frozen_masked(const char *feature)
{
	const char *at = frozen.mask;
	size_t length = sys_strlen(feature);

	while (at && *at) {
		if (sys_starts(at, feature) &&
		    (at[length] == 0 || at[length] == ','))
			return 1;
		while (*at && *at++ != ',')
			;
	}
	return 0;
}

/* ---- stages ---- */

static uint64_t deadline(void)
{
	uint64_t ms = frozen.begin.stop_ms ? frozen.begin.stop_ms : 60000;

	return sys_clock_ns(CLOCK_MONOTONIC) + ms * 1000000u;
}

static const char *late_why(char state)
{
	switch (state) {
	case 'T':
		return " is stopped (SIGSTOP)";
	case 't':
		return " is stopped by a debugger";
	case 'D':
		return " is in an uninterruptible system call";
	default:
		return " did not stop in time";
	}
}

static int stop_enter(struct service_message *m)
{
	struct park_late late = {.syscall = -1};
	int ret = park_all(deadline(), &late);

	if (ret < 0) {
		if (late.syscall >= 0)
			frozen_fail(ret, "thread ", NUMBER(late.tid),
				    late_why(late.state), ", system call ",
				    NUMBER(late.syscall), NULL);
		else
			frozen_fail(ret, "thread ", NUMBER(late.tid),
				    late_why(late.state), NULL);
		return ret;
	}
	m->parked = (struct service_parked){
		.threads = (uint32_t)park_count(),
		.park_ns = sys_clock_ns(CLOCK_MONOTONIC) - park_started(),
	};
	return 0;
}

/* Copies of the program's descriptors would keep its pipes open: they go
 * before any thread does. */
void close_copies(void)
{
	long ret = 0;
	int i;

	if (frozen.agent > 0)
		ret = SYS_CALL(SYS_close_range, 0, frozen.agent - 1, 0);
	if (ret == 0)
		SYS_CALL(SYS_close_range, frozen.agent + 1, ~0u, 0);
	for (i = 1; i < FROZEN_FDS_OWN; i++)
		frozen.fds[i] = -1;
}

static void tell_failed(void)
{
	struct service_message m = {0};

	m.failed.phase = frozen.phase;
	m.failed.error = frozen.error;
	__builtin_memcpy(m.failed.text, frozen.text, sizeof(frozen.text));
	link_answer(frozen.agent, &m, SERVICE_FAILED, failed);
}

static void tell_end(int ret)
{
	struct service_message m = {
		.released = {.stopped_ns = frozen.stopped},
	};

	if (ret == 0 || ret == -ECANCELED)
		link_answer(frozen.agent, &m, SERVICE_RELEASED, released);
	else
		tell_failed();
}

static void stop_leave(int ret)
{
	close_copies();
	/* Before: once they run, we may not for a while. */
	frozen.stopped = sys_clock_ns(CLOCK_MONOTONIC) - park_started();
	/* To ourselves: so the call does not return before we are continued.
	 * The agent is told before, and a SIGCONT that waits has gone. */
	if (frozen.begin.stopped) {
		tell_end(ret);
		sys_tgkill(sys_getpid(), sys_gettid(), SIGSTOP);
	}
	park_release();
	if (!frozen.begin.stopped)
		tell_end(ret);
}

/* In: enter() downwards, each answered by its message. Out: leave() upwards,
 * whether it worked or failed. An enter() that fails has tidied up. */
static const struct stage {
	enum wire_phase phase;
	uint32_t asked, answer, length;
	int (*enter)(struct service_message *m);
	void (*leave)(int ret);
} stages[] = {
	{PHASE_STOP, 0, SERVICE_PARKED, sizeof(struct service_parked),
	 stop_enter, stop_leave},
	{PHASE_CAPTURE, SERVICE_CAPTURE, SERVICE_CAPTURED,
	 sizeof(struct service_captured), capture_enter, capture_leave},
	{PHASE_SNAPSHOT, SERVICE_SNAPSHOT, SERVICE_SNAPSHOTTED,
	 sizeof(struct service_snapshotted), snapshot_enter, snapshot_leave},
};

#define STAGES (sizeof(stages) / sizeof(*stages))

static int fault(enum wire_phase phase)
{
	if (!frozen.begin.fault_error || frozen.begin.fault_phase != phase)
		return 0;
	return frozen_fail(
		frozen.begin.fault_error < 0 ? frozen.begin.fault_error
					     : -frozen.begin.fault_error,
		"made to fail in ", phase_name(phase), " (CKPT_FAULT)", NULL);
}

static int stage_enter(const struct stage *s, struct service_message *m)
{
	int ret = s->asked ? link_expect(s->asked, m) : 0;

	if (ret < 0)
		return ret;
	frozen.phase = s->phase;
	ret = fault(s->phase);
	if (ret < 0)
		return ret;
	*m = (struct service_message){0};
	return s->enter(m);
}

/* ---- one checkpoint ---- */

static int greet(struct service_message *m)
{
	int ret = link_connect();

	if (ret < 0)
		return ret;
	*m = (struct service_message){0};
	m->hello = (struct service_hello){
		.version = SERVICE_VERSION,
		.pid = sys_getpid(),
		.request = frozen.request,
		.tid = sys_gettid(),
	};
	ret = link_answer(frozen.agent, m, SERVICE_HELLO, hello);
	if (ret < 0)
		return frozen_fail(ret, "the agent has gone", NULL);
	ret = link_expect(SERVICE_BEGIN, m);
	if (ret < 0)
		return ret;
	frozen.begin = m->begin;
	if (frozen.image < 0)
		return frozen_fail(-EPROTO, "the agent sent no image file",
				   NULL);
	return 0;
}

static void serve(void)
{
	struct service_message m;
	size_t in = 0;
	int ret = greet(&m);

	while (ret == 0 && in < STAGES) {
		ret = stage_enter(&stages[in], &m);
		if (ret < 0)
			break;
		ret = link_send(frozen.agent, &m, stages[in].answer,
				stages[in].length, -1);
		if (ret < 0)
			frozen_fail(ret, "the agent has gone", NULL);
		in++;
	}
	if (ret == 0)
		ret = link_expect(SERVICE_RELEASE, &m);
	if (ret == 0) {
		frozen.phase = PHASE_RELEASE;
		ret = fault(PHASE_RELEASE);
	}
	if (in == 0) /* who had been parked so far, one at least, is let go */
		in = 1;
	while (in-- > 0)
		stages[in].leave(ret);
	if (ret == 0 && frozen.writer_pid) {
		snapshot_reap();
		m = (struct service_message){0};
		link_send(frozen.agent, &m, SERVICE_REAPED, 0, -1);
	}
	if (frozen.agent >= 0)
		sys_close(frozen.agent);
}

/* A service thread that was killed by an exec has left its writer to us. */
static void reap_former(void)
{
	int status, pid = preload.slot ? preload.slot->writer : 0;

	if (pid &&
	    SYS_CALL(SYS_wait4, pid, &status, WNOHANG | __WALL, NULL) != 0)
		__atomic_store_n(&preload.slot->writer, 0, __ATOMIC_RELAXED);
}

/* Who is another user for a while only is root here: what root's agent keeps,
 * and what /proc tells of threads that are other users, is root's. */
static void be_root(void)
{
	uint32_t real = 1, effective = 1, saved = 1;
	long dumpable;

	SYS_CALL(SYS_getresuid, &real, &effective, &saved);
	if (effective == 0 || (real != 0 && saved != 0))
		return;
	dumpable = SYS_CALL(SYS_prctl, PR_GET_DUMPABLE, 0, 0, 0, 0);
	SYS_CALL(SYS_setresuid, -1, 0, -1);
	if (dumpable == 1) /* it is the memory's, and was taken away */
		SYS_CALL(SYS_prctl, PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static void start(uint32_t request)
{
	int i;

	frozen = (struct frozen){.jump = frozen.jump,
				 .request = request,
				 .pid = sys_getpid(),
				 .exact_always = frozen.exact_always};
	for (i = 0; i < FROZEN_FDS_OWN; i++)
		frozen.fds[i] = -1;
	frozen.phase = PHASE_STOP;
	be_root();
	reap_former();
	serve();
	if (frozen.error && preload.slot)
		__atomic_store_n(&preload.slot->error, frozen.error,
				 __ATOMIC_RELAXED);
}

/* Comes back a second time, in another life: nothing of the first may be used
 * after park_save() but static memory. */
void frozen_service(uint32_t request)
{
	frozen.request = request;
	if (park_save(&frozen.jump))
		frozen_reborn();
	else
		start(frozen.request);
}
