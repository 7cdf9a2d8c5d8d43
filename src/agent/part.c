/* SPDX-License-Identifier: MIT */
/*
 * One process taking part: it goes up a ladder of states, one rung a message.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/members.h"
#include "agent/now.h"
#include "agent/proc.h"
#include "agent/service.h"
#include "util/log.h"

#define STOP_NS 1000000000u /* for a stop to reach all threads */

/* There may be thousands: nothing here looks at all of them for each. */
#define BUCKETS 4096

static struct {
	struct part *buckets[BUCKETS]; /* by pid */
	struct part **end;	       /* of now.parts; NULL: it is empty */
	struct part *late;	       /* whom part_all() missed */
} parts;

static struct part **bucket(pid_t pid)
{
	return &parts.buckets[(unsigned)pid % BUCKETS];
}

struct part *part_find(pid_t pid)
{
	struct part *p = *bucket(pid);

	while (p && p->pid != pid)
		p = p->same;
	return p;
}

static void index_add(struct part *p)
{
	struct part **at = parts.end ? parts.end : &now.parts;

	*at = p;
	parts.end = &p->next;
	p->same = *bucket(p->pid);
	*bucket(p->pid) = p;
}

/* Out of now.parts, where `at` points to it. */
static void index_remove(struct part **at)
{
	struct part *p = *at, **same = bucket(p->pid);

	while (*same != p)
		same = &(*same)->same;
	*same = p->same;
	*at = p->next;
	if (parts.end == &p->next)
		parts.end = now.parts ? at : NULL;
	if (parts.late == p)
		parts.late = NULL;
}

struct part *part_add(struct member *m)
{
	struct part *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->member = m;
	p->pid = m->pid;
	memcpy(p->program, m->program, sizeof(p->program));
	p->writer_pidfd = p->writer_end = p->image_fd = -1;
	/* Other hosts have the same pids. */
	if (now.groups > 1)
		snprintf(p->image_name, sizeof(p->image_name),
			 "group-%d-proc-%d.img", now.group, m->pid);
	else
		snprintf(p->image_name, sizeof(p->image_name), "proc-%d.img",
			 m->pid);
	m->part = p;
	index_add(p);
	return p;
}

int part_all(enum part_state least)
{
	struct part *late = parts.late, *p;

	/* On from there, and round: mostly they come in their order. */
	for (p = late; p && p->state >= least; p = p->next)
		;
	if (!p) {
		for (p = now.parts; p != late && p->state >= least; p = p->next)
			;
		p = p == late ? NULL : p;
	}
	parts.late = p;
	return !p;
}

/* ---- a service thread stays a little after the end, to reap its writer ---- */

static void leaving_message(struct service *service,
			    const struct service_message *message, int fd)
{
	(void)message;
	(void)service;
	if (fd >= 0)
		close(fd);
}

static void leaving_lost(struct service *service)
{
	struct member *m = members_find(service->pid);

	if (m && m->leaving == service)
		m->leaving = NULL;
}

static const struct service_owner leaving = {
	.message = leaving_message,
	.lost = leaving_lost,
};

void part_service_leave(struct part *p)
{
	if (!p->service)
		return;
	p->service->owner = &leaving;
	if (p->member)
		p->member->leaving = p->service;
	p->service = NULL;
}

void part_free_all(void)
{
	while (now.parts) {
		struct part *p = now.parts;

		index_remove(&now.parts);
		part_service_leave(p);
		writer_close(p);
		writer_image_close(p);
		if (p->member)
			p->member->part = NULL;
		free(p);
	}
}

/* ---- what they hear ---- */

void part_tell_all(enum service_type type, enum part_state next)
{
	for (struct part *p = now.parts; p && now.state == RUNNING;
	     p = p->next) {
		int ret = p->service ? service_say(p->service, type, NULL, 0)
				     : -ECONNRESET;

		p->state = next;
		if (ret < 0)
			ending_fail(p, ret, "process %d (%s)", p->pid,
				    p->program);
	}
}

void part_await_stopped(void)
{
	uint64_t until = loop_now() + STOP_NS;

	for (struct part *p = now.parts; p; p = p->next)
		while (p->woken && p->member && !proc_has_stopped(p->pid) &&
		       loop_now() < until)
			sched_yield();
}

void part_abort(struct part *p)
{
	/* Nobody has told it yet to do so by itself. */
	if (p->woken && p->state == PART_WAITING && p->member)
		syscall(SYS_pidfd_send_signal, p->member->pidfd.fd, SIGSTOP,
			NULL, 0);
	if (p->writer_pidfd >= 0)
		syscall(SYS_pidfd_send_signal, p->writer_pidfd, SIGKILL, NULL,
			0);
	writer_close(p);
	if (!p->service || p->state >= PART_RELEASING)
		return;
	p->state = PART_RELEASING;
	if (service_say(p->service, SERVICE_ABORT, NULL, 0) < 0) {
		service_close(p->service); /* says the same */
		p->service = NULL;
	}
}

/* ---- what they say ---- */

void part_failed(struct part *p, const struct service_message *message)
{
	char text[sizeof(message->failed.text)];

	memcpy(text, message->failed.text, sizeof(text));
	text[sizeof(text) - 1] = 0;
	/* A writer may be ahead of us. */
	if (now.state == RUNNING && message->failed.phase == PHASE_WRITE)
		now.phase = PHASE_WRITE;
	ending_fail(p, message->failed.error, "process %d (%s): %s", p->pid,
		    p->program, text);
}

static void climb(struct part *p, enum part_state from, enum part_state to)
{
	/* An answer that crossed our ABORT, or one to a RELEASE that we have
	 * waited for long enough. */
	if ((p->state == PART_RELEASING && to < PART_RELEASED) ||
	    p->state == PART_RELEASED)
		return;
	if (p->state != from) {
		ending_fail(p, -EPROTO, "process %d (%s) is out of step",
			    p->pid, p->program);
		return;
	}
	p->state = to;
	checkpoint_advance();
}

static void said(struct service *service, const struct service_message *message,
		 int fd)
{
	struct part *p = service->data;

	if (fd >= 0 && message->type != SERVICE_FILE) {
		close(fd);
		fd = -1;
	}
	switch (message->type) {
	case SERVICE_PARKED:
		p->threads = message->parked.threads;
		p->park_ns = message->parked.park_ns;
		climb(p, PART_BEGUN, PART_PARKED);
		break;
	case SERVICE_FILE:
		if (fd >= 0 && now.state == RUNNING)
			files_came(&message->file, fd);
		else if (fd >= 0)
			close(fd);
		break;
	case SERVICE_CAPTURED:
		p->bytes = message->captured.bytes;
		p->inside_tid = message->captured.tid;
		climb(p, PART_CAPTURING, PART_CAPTURED);
		break;
	case SERVICE_SNAPSHOTTED:
		writer_watch(p, message->snapshotted.writer);
		if (message->snapshotted.fallback && now.state == RUNNING)
			ending_warn(
				"process %d (%s) was written while "
				"stopped: no snapshot (%s)",
				p->pid, p->program,
				strerror((int)message->snapshotted.fallback));
		if (now.state == ENDING)
			part_abort(p);
		climb(p, PART_SNAPSHOTTING, PART_SNAPSHOTTED);
		break;
	case SERVICE_RELEASED:
		p->stopped_ns = message->released.stopped_ns;
		climb(p, PART_RELEASING, PART_RELEASED);
		break;
	case SERVICE_REAPED:
		break;
	case SERVICE_FAILED:
		/* It has undone and released everything by itself. */
		p->state = PART_RELEASED;
		part_failed(p, message);
		break;
	default:
		ending_fail(p, -EPROTO, "process %d (%s) sent message %u",
			    p->pid, p->program, message->type);
	}
}

static void part_gone(struct part *p)
{
	if (now.state == RUNNING)
		ending_fail(p, 0, "process %d (%s) ended in phase %s", p->pid,
			    p->program, phase_name(now.phase));
}

static void part_begin_again(struct part *p)
{
	writer_close(p);
	writer_image_close(p);
	p->writer_state = WRITER_NONE;
	p->state = PART_WAITING;
	p->poke_due = 0;
}

static void said_no_more(struct service *service)
{
	struct part *p = service->data;
	enum part_state had = p->state;

	p->service = NULL;
	if (had >= PART_RELEASING) { /* its thread has ended, as it should */
		p->state = PART_RELEASED;
		checkpoint_advance();
		return;
	}
	/* Another thread was in exec or exit: it was killed before parking. */
	if (had == PART_BEGUN && now.state == RUNNING) {
		part_begin_again(p);
		if (p->member && p->member->slot)
			__atomic_store_n(&p->member->slot->answered, 0,
					 __ATOMIC_RELEASE);
		return;
	}
	p->state = PART_RELEASED;
	if (!p->member || proc_dying(p->pid))
		part_gone(p);
	else
		ending_fail(p, 0,
			    "process %d (%s) broke off in phase %s: its "
			    "service thread has ended",
			    p->pid, p->program, phase_name(now.phase));
	checkpoint_advance();
}

static const struct service_owner part_owner = {
	.message = said,
	.lost = said_no_more,
};

void part_hello(struct service *service, const struct service_hello *hello)
{
	struct member *m;
	struct part *p;
	int ret;

	if (now.state != RUNNING || now.phase != PHASE_STOP ||
	    hello->request != now.number) {
		/* An old poke, or an abort came first. */
		service->owner = &leaving;
		m = members_find(service->pid);
		if (m)
			m->leaving = service;
		service_say(service, SERVICE_ABORT, NULL, 0);
		return;
	}
	if (!part_find(service->pid)) {
		members_scan();
		stop_gather();
	}
	p = part_find(service->pid);
	/* An exec has killed the one before, of whose end we hear later. */
	if (p && p->state == PART_BEGUN && p->service) {
		service_close(p->service);
		p->service = NULL;
		part_begin_again(p);
	}
	if (!p || p->state != PART_WAITING || p->service) {
		log_line("process %d is unknown or came twice", service->pid);
		service_close(service);
		return;
	}
	now.hello_at = loop_now();
	p->service = service;
	service->data = p;
	service->owner = &part_owner;
	p->state = PART_BEGUN;
	ret = writer_begin(p);
	if (ret == -EPIPE || ret == -ECONNRESET)
		return; /* dead already: said_no_more() comes next */
	if (ret < 0)
		ending_fail(p, ret, "process %d (%s): %s", p->pid, p->program,
			    now.generation.why[0] ? now.generation.why
						  : "cannot begin");
}

/* ---- their end ---- */

void part_member_died(struct member *m)
{
	struct part *p = m->part, **at = &now.parts;
	enum part_state had;

	if (m->leaving) {
		service_close(m->leaving);
		m->leaving = NULL;
	}
	if (!p)
		return;
	p->member = NULL;
	m->part = NULL;
	had = p->state;
	/* Its writer, if there is one, goes on by itself. */
	if (had >= PART_RELEASING) {
		p->state = PART_RELEASED;
		service_close(p->service);
		p->service = NULL;
		checkpoint_advance();
		return;
	}
	if (had == PART_WAITING && now.state == RUNNING &&
	    now.phase <= PHASE_STOP) {
		/* It ended by itself before it was asked: no part of it. */
		while (*at != p)
			at = &(*at)->next;
		index_remove(at);
		writer_close(p);
		writer_image_close(p);
		if (p->image_named)
			generation_image_remove(&now.generation, p->image_name);
		free(p);
		if (!now.parts)
			ending_fail(NULL, -ESRCH, "the last process has ended");
		return;
	}
	service_close(p->service);
	p->service = NULL;
	p->state = PART_RELEASED;
	part_gone(p);
	if (now.state == ENDING)
		ending_step();
}
