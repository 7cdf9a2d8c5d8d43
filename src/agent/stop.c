/* SPDX-License-Identifier: MIT */
/* STOP: everybody is poked, and again, until everybody has parked and nobody
 * new has come meanwhile. */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/members.h"
#include "agent/now.h"
#include "agent/poke.h"
#include "agent/proc.h"

#define TICK_MS 5	   /* how often STOP looks again, at first */
#define POKE_MS 20	   /* no HELLO so soon after a poke: poke again. On
			    * a busy machine, as long as poking all took */
#define POKE_MAX_MS 1000   /* the interval doubles up to this */
#define STILL_NS 30000000   /* nobody calls or is accepted for so long */
#define SERVE_NS 1000000000
#define HELD_NS 2000000000 /* a process stopped for so long will stay so */

static uint64_t poke_interval_ms(unsigned pokes)
{
	uint64_t ms = now.poke_ms;

	while (pokes-- > 1 && ms < POKE_MAX_MS)
		ms *= 2;
	return ms < POKE_MAX_MS ? ms : POKE_MAX_MS;
}

static void part_poke(struct part *p, int wake)
{
	struct member *m = p->member;
	int ret;

	if (m->slot && __atomic_load_n(&m->slot->answered, __ATOMIC_ACQUIRE) ==
			       now.number) {
		int error = __atomic_load_n(&m->slot->error, __ATOMIC_ACQUIRE);

		if (error == -EOPNOTSUPP)
			ending_fail(p, 0,
				    "process %d (%s) is to be told of a message "
				    "in a POSIX queue by a thread (mq_notify, "
				    "SIGEV_THREAD), which cannot be kept",
				    p->pid, p->program);
		else if (error)
			ending_fail(p, error,
				    "process %d (%s) could not start its "
				    "service thread",
				    p->pid, p->program);
		return; /* it is on its way */
	}
	if (loop_now() < p->poke_due)
		return;
	/* While others come, it is more likely late than lost. */
	if (p->pokes && loop_now() - now.hello_at < now.poke_ms * 1000000)
		return;
	ret = poke(m, now.number, p->pokes, wake);
	p->stopped = ret == POKE_STOPPED || (ret == POKE_SENT && wake);
	if (ret == POKE_SENT) {
		p->woken |= wake;
		p->pokes++;
		p->poke_due = loop_now() + poke_interval_ms(p->pokes) * 1000000;
	} else if (ret < 0) {
		ending_fail(p, ret, "cannot signal process %d (%s)", p->pid,
			    p->program);
	} else if (m->held_since && loop_now() - m->held_since > HELD_NS) {
		char what[256];

		proc_describe(p->pid, what, sizeof(what));
		ending_fail(p, 0, "process %d (%s) %s", p->pid, p->program,
			    what);
	}
}

int stop_gather(void)
{
	struct members_stranger stranger;
	int more = 0;

	if (members_stranger(now.phase_began, &now.pending, &stranger) &&
	    !now.ignore_foreign) {
		ending_fail(NULL, 0,
			    "process %d (%s), started meanwhile, %s; end it, "
			    "or allow it with --ignore-foreign",
			    stranger.pid, stranger.program, stranger.why);
		return 1;
	}
	for (struct member *m = members_first(); m; m = m->next)
		if (!m->part) {
			more = 1;
			if (!part_add(m))
				ending_fail(NULL, -ENOMEM, "process %d",
					    m->pid);
		}
	return more || now.pending.pid;
}

/* Their parents, who are told of it, are parked by then; so is who would take
 * notice of what they do. */
static void wake_stopped(void)
{
	for (struct part *p = now.parts; p; p = p->next)
		if (p->state < PART_PARKED && !p->stopped)
			return;
	for (struct part *p = now.parts; p && now.state == RUNNING; p = p->next)
		if (p->state == PART_WAITING && p->member && p->stopped)
			part_poke(p, 1);
}

/* What has been sent to a connection that is not accepted yet nobody can look
 * at. When a checkpoint has failed by that, at the next try who accepts is
 * stopped last, after the others (and those of other hosts, most likely), when
 * no connections come or go any more. */
static struct {
	uint64_t since; /* the others are parked */
	uint64_t still; /* since then there were as many */
	uint64_t waiting;
} servers;

static int servers_may_stop(void)
{
	uint64_t waiting, time = loop_now();

	for (struct part *p = now.parts; p; p = p->next)
		if (p->state < PART_PARKED && !p->serves && !p->stopped)
			return 0;
	waiting = remotes_waiting();
	if (!servers.since || waiting != servers.waiting)
		servers.still = time;
	if (!servers.since)
		servers.since = time;
	servers.waiting = waiting;
	return time - servers.still > STILL_NS ||
	       time - servers.since > SERVE_NS;
}

static void stop_tick(struct loop_timer *timer)
{
	checkpoint_advance();
	if (now.phase_done)
		return;
	for (struct part *p = now.parts; p && now.state == RUNNING; p = p->next)
		if (p->state == PART_WAITING && p->member && !p->serves)
			part_poke(p, 0);
	if (!now.poke_ms) {
		now.poke_ms = POKE_MS + (loop_now() - now.phase_began) / 1000000;
		for (struct part *p = now.parts; p; p = p->next)
			if (p->pokes)
				p->poke_due = loop_now() + now.poke_ms * 1000000;
	}
	if (now.gentle && now.state == RUNNING && servers_may_stop()) {
		now.gentle = 0;
		for (struct part *p = now.parts; p; p = p->next)
			p->serves = 0;
	}
	if (now.state == RUNNING)
		wake_stopped();
	if (now.state != RUNNING)
		return;
	if (loop_now() - now.phase_began > 200000000 && !now.gentle)
		now.tick_ms = 10 * TICK_MS;
	loop_timer_set(timer, now.tick_ms);
}

void stop_begin(void)
{
	struct registry_header *registry = agent.registry;

	proc_clocks_forget();
	members_scan();
	for (struct member *m = members_first(); m; m = m->next) {
		m->held_since = 0;
		if (!m->part && !part_add(m)) {
			ending_fail(NULL, -ENOMEM, "process %d", m->pid);
			return;
		}
	}
	now.number = ++registry->last_request;
	if (now.number == 0)
		now.number = ++registry->last_request;
	__atomic_store_n(&registry->request, now.number, __ATOMIC_SEQ_CST);
	memset(&servers, 0, sizeof(servers));
	if (now.gentle)
		remotes_find_servers();
	checkpoint_deadline(now.stop_ms);
	now.tick_ms = TICK_MS;
	now.poke_ms = 0;
	now.tick.fire = stop_tick;
	stop_tick(&now.tick);
}

uint32_t stop_parking_ms(void)
{
	uint64_t gone = (loop_now() - now.phase_began) / 1000000;
	uint64_t left = gone < now.stop_ms ? now.stop_ms - gone : 0;

	/* It knows which thread is late, we only which process: first it. */
	left -= left / 10 < 500 ? left / 10 : 500;
	return left > 0 ? (uint32_t)left : 1;
}

void stop_request_clear(void)
{
	__atomic_store_n(&agent.registry->request, 0, __ATOMIC_SEQ_CST);
}
