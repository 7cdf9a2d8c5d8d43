/* SPDX-License-Identifier: MIT */
/*
 * No call returns EINTR because of us. Our handler has SA_RESTART, so the
 * kernel starts anew what it ever starts anew; the other calls stand in the
 * signal frame with the result -EINTR, and are put back here, on the thread,
 * when it is released. What has a relative time-out goes on with the time
 * that was left when our signal came (resume.h); time that passes while the
 * thread is parked does not count.
 *
 * If a signal of the program's own is due, its handler will run now, and the
 * call returns EINTR as it would have without us.
 *
 * A write that blocks is whole, unless a signal comes: what ours has cut short
 * goes on in the same way with the rest.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <sys/socket.h>
#include <time.h>

#include "preload/handler/arch/context.h"
#include "preload/handler/arch/resume.h"
#include "preload/handler/stop.h"
#include "preload/preload.h"
#include "sys/task.h"

#define SECOND 1000000000ll

enum how {
	LEAVE,
	AGAIN,
	MS,
	SPEC,
	SLEEP,
	CLOCK_SLEEP,
	FUTEX,
	IN,
	OUT,
	REST,
};

static const struct {
	uint16_t nr;
	uint8_t how, index;
} calls[] = {
#define CALL(name, how, index) {SYS_##name, how, index},
#include "preload/handler/arch/calls.def"
#undef CALL
	{455, AGAIN, 0}, /* futex_wait, younger than the headers */
};

static enum how look_up(int64_t nr, int *index)
{
	size_t i;

	for (i = 0; i < sizeof(calls) / sizeof(*calls); i++)
		if (calls[i].nr == nr) {
			*index = calls[i].index;
			return (enum how)calls[i].how;
		}
	return LEAVE;
}

/* A socket's time-out in ns, 0: none, or no socket. */
static int64_t socket_timeout(uint64_t fd, enum how how)
{
	int option = how == IN ? SO_RCVTIMEO : SO_SNDTIMEO;
	struct {
		int64_t s, us;
	} timeout = {0, 0};
	uint32_t length = sizeof(timeout);

	if (SYS_CALL(SYS_getsockopt, (int)fd, SOL_SOCKET, option, &timeout,
		     &length) < 0)
		return 0;
	return timeout.s * SECOND + timeout.us * 1000;
}

/* The special cases of a call without a relative time-out of its own. */
static enum how settle(enum how how, int index, const uint64_t arguments[6])
{
	switch (how) {
	case MS:
		return (int32_t)arguments[index] < 0 ? AGAIN : MS;
	case SPEC:
		return arguments[index] ? SPEC : AGAIN;
	case FUTEX:
		return (arguments[1] & FUTEX_CMD_MASK) == FUTEX_WAIT &&
				       arguments[index]
			       ? SPEC
			       : AGAIN;
	case CLOCK_SLEEP: /* the clocks of CPU time do not follow ours */
		return arguments[index - 1] & TIMER_ABSTIME ||
				       (int32_t)arguments[0] < 0 ||
				       arguments[0] == CLOCK_PROCESS_CPUTIME_ID
			       ? AGAIN
			       : SLEEP;
	default:
		return how;
	}
}

/* For the service thread: is it worth the trouble to find out since when a
 * thread in this call has been asleep? (Of its descriptors it has a copy; of
 * its memory it reads nothing.) */
int calls_need_sleep(const struct registry_call *call)
{
	const uint64_t *arguments = call->arguments;
	int index = 0;
	enum how how = look_up(call->nr, &index);

	switch (settle(how, index, arguments)) {
	case MS:
		return arguments[index] != 0;
	case SPEC:
		return 1;
	case SLEEP: /* else the kernel writes the rest */
		return arguments[index + 1] == 0;
	case IN:
	case OUT:
		return socket_timeout(arguments[index], how) > 0;
	default:
		return 0;
	}
}

/* ---- the program's own signals */

/* A signal that any thread may take: take it, and queue it for this one, so
 * that the one that has its call interrupted is the one that handles it. */
static int claim(int signal)
{
	struct __kernel_timespec now = {0, 0};
	uint64_t bit = SYS_SIGNAL_BIT(signal);
	siginfo_t info;

	return sys_sigtimedwait(&bit, &info, &now) == signal &&
	       sys_tgsigqueueinfo(preload.pid, sys_gettid(), signal, &info) ==
		       0;
}

/* Will a handler of the program's run when the mask is put back, and does it
 * interrupt the call? restarts: the call is one that goes on after a handler
 * with SA_RESTART. */
static int signal_due(ucontext_t *context, int restarts)
{
	struct sys_sigaction action;
	uint64_t pending = 0, private;
	int signal;

	sys_sigpending(&pending);
	pending &= ~context_mask(context) & ~SYS_SIGNAL_BIT(CKPT_SIGNAL);
	if (!pending)
		return 0;
	private = self_private_pending();
	for (; pending; pending &= pending - 1) {
		signal = __builtin_ctzll(pending) + 1;
		if (sys_sigaction(signal, NULL, &action) < 0 ||
		    action.handler == (void *)SIG_DFL ||
		    action.handler == (void *)SIG_IGN ||
		    (restarts && action.flags & SA_RESTART))
			continue;
		if (private & SYS_SIGNAL_BIT(signal) || claim(signal))
			return 1;
	}
	return 0;
}

/* ---- going on with the time that was left */

static int64_t spec_ns(const int64_t *spec)
{
	if (spec[0] > INT64_MAX / SECOND - 1)
		return INT64_MAX;
	return spec[0] * SECOND + spec[1];
}

static int64_t minus(int64_t timeout, uint64_t since, uint64_t until)
{
	if (!since || since >= until)
		return timeout;
	if ((uint64_t)timeout <= until - since)
		return 0;
	return timeout - (int64_t)(until - since);
}

static void again(ucontext_t *context, int64_t nr)
{
	context_result(context) = (uint64_t)nr;
	context_ip(context) -= CONTEXT_CALL_LENGTH;
}

/* Into the stub, for the first time or once more, with r->left set. */
static void resume(ucontext_t *context, struct resume *r)
{
	const char *stub = park_resume_call;
	int64_t ms;

	context_result(context) = r->nr;
	switch (r->how) {
	case MS:
		ms = r->left[0] * 1000 + (r->left[1] + 999999) / 1000000;
		*context_argument(context, (int)r->index) =
			ms > INT32_MAX ? INT32_MAX : (uint64_t)ms;
		break;
	case IN:
	case OUT:
		context_result(context) = SYS_ppoll;
		*context_argument(context, 0) = (uintptr_t)&r->poll;
		*context_argument(context, 1) = 1;
		*context_argument(context, 2) = (uintptr_t)r->left;
		*context_argument(context, 3) = 0;
		*context_argument(context, 4) = 8;
		stub = park_resume_poll;
		break;
	case REST:
		stub = park_resume_rest;
		break;
	default:
		*context_argument(context, (int)r->index) = (uintptr_t)r->left;
	}
	context_ip(context) = (uintptr_t)stub;
	context_sp(context) = (uintptr_t)r;
	r->started = sys_clock_ns(CLOCK_MONOTONIC);
}

static void set_left(struct resume *r, int64_t left)
{
	r->left[0] = left / SECOND;
	r->left[1] = left % SECOND;
}

static struct resume *resume_record(ucontext_t *context, int64_t nr,
				    enum how how, int index)
{
	struct resume *r = context_spare(context, sizeof(*r));
	int i;

	*r = (struct resume){
		.nr = (uint64_t)nr,
		.ip = context_ip(context),
		.sp = context_sp(context),
		.how = how,
		.index = (uint32_t)index,
		.expired = nr == SYS_connect ? -EINPROGRESS : -EAGAIN,
	};
	for (i = 0; i < 6; i++)
		r->arguments[i] = *context_argument(context, i);
	return r;
}

static void resume_first(ucontext_t *context, int64_t nr, enum how how,
			 int index, int64_t left)
{
	struct resume *r = resume_record(context, nr, how, index);

	r->poll.fd = (int)r->arguments[index];
	r->poll.events = how == IN ? POLLIN : POLLOUT;
	set_left(r, left);
	resume(context, r);
}

static void resume_again(ucontext_t *context, uint64_t stopped)
{
	struct resume *r = (void *)context_sp(context);

	/* ppoll() has written the rest by itself. */
	if (r->how != IN && r->how != OUT && r->how != REST)
		set_left(r, minus(spec_ns(r->left), r->started, stopped));
	resume(context, r);
}

static void repair(ucontext_t *context, int64_t nr,
		   const struct stop_call *call)
{
	uint64_t arguments[6];
	int64_t timeout, left;
	int i, index = 0;
	enum how how = look_up(nr, &index);

	for (i = 0; i < 6; i++)
		arguments[i] = *context_argument(context, i);
	how = settle(how, index, arguments);
	switch (how) {
	case LEAVE:
		return;
	case MS:
		timeout = (int32_t)arguments[index] * 1000000ll;
		break;
	case SPEC:
		timeout = spec_ns((void *)arguments[index]);
		break;
	case SLEEP:
		timeout = spec_ns((void *)arguments[index]);
		if (!arguments[index + 1])
			break;
		/* The kernel has written the rest; maybe in its place. */
		left = spec_ns((void *)arguments[index + 1]);
		if (arguments[index + 1] == arguments[index])
			again(context, nr);
		else
			resume_first(context, nr, SPEC, index, left);
		return;
	case IN:
	case OUT:
		timeout = socket_timeout(arguments[index], how);
		break;
	default:
		again(context, nr);
		return;
	}
	left = minus(timeout, call->asleep_since, call->stopped);
	if (left == timeout)
		again(context, nr);
	else
		resume_first(context, nr, how, index, left);
}

/* ---- going on with the rest of the bytes: argument 1 is the buffer, 2 the
 * length */

static int some_bytes(ucontext_t *context)
{
	uint64_t result = context_result(context);

	return result && result < *context_argument(context, 2) &&
	       result <= INT32_MAX;
}

/* Which of the calls with these arguments promise more than that? */
static int cut_short(int64_t nr, ucontext_t *context)
{
	uint64_t flags = *context_argument(context, 3);
	long status;

	switch (nr) {
	case SYS_write:
		break;
	case SYS_sendto:
		if (flags & MSG_DONTWAIT)
			return 0;
		break;
	case SYS_recvfrom:
		if (flags & MSG_DONTWAIT || !(flags & MSG_WAITALL))
			return 0;
		break;
	default:
		return 0;
	}
	status = sys_fcntl((int)*context_argument(context, 0), F_GETFL, 0);
	return status >= 0 && !(status & O_NONBLOCK);
}

static void move_on(ucontext_t *context, struct resume *r)
{
	uint64_t result = context_result(context);

	r->done += result;
	*context_argument(context, 1) += result;
	*context_argument(context, 2) -= result;
	resume(context, r);
}

static void rest_first(ucontext_t *context, int64_t nr)
{
	struct resume *r = resume_record(context, nr, REST, 0);

	r->done = 0;
	move_on(context, r);
}

/* ---- what was interrupted? */

static int in_stub(ucontext_t *context)
{
	return context_ip(context) == (uintptr_t)park_resume_called ||
	       context_ip(context) == (uintptr_t)park_resume_polled ||
	       context_ip(context) == (uintptr_t)park_resume_rested;
}

/* A call instruction at that place? Code need not be readable, and a call that
 * wants to read a set before it sees that `how` makes no sense tells. */
static int is_call(uint64_t ip)
{
	const uint64_t *word = (void *)(ip & -8ull);

	return sys_sigprocmask(-1, word, NULL) != -EFAULT &&
	       context_is_call((void *)ip);
}

/* The kernel steps back before the instruction when it will start the call
 * anew. */
static int stepped_back(ucontext_t *context, int64_t nr)
{
	return context_result(context) == (uint64_t)nr &&
	       is_call(context_ip(context));
}

struct registry_call calls_of(ucontext_t *context, int64_t nr)
{
	struct registry_call call = {
		.nr = nr,
		.sp = context_sp(context),
		.ip = context_ip(context),
	};
	int i;

	for (i = 0; i < 6; i++)
		call.arguments[i] = *context_argument(context, i);
	if (stepped_back(context, nr))
		call.ip += CONTEXT_CALL_LENGTH;
	return call;
}

int calls_same(ucontext_t *context, const struct registry_call *call)
{
	struct registry_call now;
	int i;

	if (call->nr < 0)
		return 0;
	now = calls_of(context, call->nr);
	for (i = 0; i < 6; i++)
		if (now.arguments[i] != call->arguments[i])
			return 0;
	return now.sp == call->sp && now.ip == call->ip;
}

/* The number of the call that has just returned, -1: it was no call, or
 * nobody knows. */
static int64_t number(ucontext_t *context, const struct stop_call *call)
{
	uint64_t ip = context_ip(context);
	uint64_t before = ip - CONTEXT_CALL_LENGTH;

	/* Our syscall() leaves it in the red zone. */
	if (ip == preload.syscall_ip)
		return *(int64_t *)(context_sp(context) - sizeof(int64_t));
	if (call->nr >= 0)
		return call->nr;
	return is_call(before) ? context_call_number((void *)before) : -1;
}

/* The kernel is about to start the call anew because our handler has
 * SA_RESTART. One of the program's that is due may not have it. */
static void unrestart(ucontext_t *context, const struct stop_call *call)
{
	int index;

	if (call->nr < 0 || !stepped_back(context, call->nr) ||
	    look_up(call->nr, &index) == LEAVE || !signal_due(context, 1))
		return;
	context_ip(context) += CONTEXT_CALL_LENGTH;
	context_result(context) = (uint64_t)-EINTR;
}

static void interrupted(ucontext_t *context, const struct stop_call *call)
{
	int64_t nr;

	if (in_stub(context)) {
		if (!signal_due(context, 0))
			resume_again(context, call->stopped);
		return;
	}
	nr = number(context, call);
	if (nr >= 0 && !signal_due(context, 0))
		repair(context, nr, call);
}

/* 1: a call has returned with some of its bytes, and goes on with the rest. To
 * do so when it was no signal that stopped it does no harm: the rest gives an
 * error, and the program is told of the bytes. */
static int returned(ucontext_t *context, const struct stop_call *call)
{
	struct resume *r = (void *)context_sp(context);
	int stub = context_ip(context) == (uintptr_t)park_resume_rested;
	int64_t nr;

	if (!some_bytes(context))
		return 0;
	nr = stub ? (int64_t)r->nr : number(context, call);
	if (nr < 0 || stepped_back(context, nr) || !cut_short(nr, context) ||
	    signal_due(context, 0))
		return 0;
	if (stub)
		move_on(context, r);
	else
		rest_first(context, nr);
	return 1;
}

void calls_repair(ucontext_t *context, const struct stop_call *call)
{
	if (context_result(context) == (uint64_t)-EINTR)
		interrupted(context, call);
	else if (!returned(context, call))
		unrestart(context, call);
}
