/* SPDX-License-Identifier: MIT */
/*
 * The phases, as the coordinator asks for them. A phase is done when every
 * part has reached its rung. See now.h for the other files.
 */
#include "agent/checkpoint.h"

#include <errno.h>
#include <stddef.h>

#include "agent/agent.h"
#include "agent/members.h"
#include "agent/now.h"
#include "agent/proc.h"
#include "agent/rebirth.h"
#include "agent/service.h"
#include "agent/uplink.h"
#include "util/log.h"

#define RELEASE_MS 10000 /* to answer RELEASE */
#define PROGRESS_MS 200

struct checkpoint now = {
	.generation = {.fd = -1, .parent_fd = -1, .store_fd = -1},
};

int checkpoint_busy(void)
{
	return now.state != IDLE;
}

/* ---- deadlines ---- */

static enum part_state rung(enum wire_phase phase)
{
	switch (phase) {
	case PHASE_STOP:
		return PART_PARKED;
	case PHASE_CAPTURE:
		return PART_CAPTURED;
	case PHASE_SNAPSHOT:
		return PART_SNAPSHOTTED;
	default:
		return PART_RELEASED;
	}
}

static void too_late(struct loop_timer *timer)
{
	const enum part_state least = rung(now.phase);
	struct part *p = now.parts;
	unsigned late = 0;
	char what[256];

	(void)timer;
	for (struct part *q = now.parts; q; q = q->next)
		/* One that still waits to be woken is not to blame. */
		if (q->state < least && !(q->stopped && !q->woken) &&
		    late++ == 0)
			p = q;
	if (late == 0 && now.phase == PHASE_STOP && now.pending.pid) {
		prepare_pending();
		return;
	}
	if (late == 0) {
		ending_fail(NULL, -ETIMEDOUT, "phase %s",
			    phase_name(now.phase));
		return;
	}
	proc_describe(p->pid, what, sizeof(what));
	if (late == 1)
		ending_fail(p, 0,
			    "process %d (%s) was too late for phase %s: it %s",
			    p->pid, p->program, phase_name(now.phase), what);
	else
		ending_fail(p, 0,
			    "%u processes were too late for phase %s; the "
			    "first, %d "
			    "(%s), %s",
			    late, phase_name(now.phase), p->pid, p->program,
			    what);
}

static void release_late(struct loop_timer *timer)
{
	(void)timer;
	for (struct part *p = now.parts; p; p = p->next)
		if (p->state < PART_RELEASED) {
			ending_warn("process %d (%s) has not said that it runs "
				    "again",
				    p->pid, p->program);
			p->state = PART_RELEASED;
		}
	checkpoint_advance();
}

void checkpoint_deadline(uint32_t ms)
{
	now.deadline.fire = too_late;
	loop_timer_set(&now.deadline, ms);
}

/* ---- the phases ---- */

static void capture_begin(const json_t *body)
{
	remotes_take(json_object_get(body, "remotes"));
	checkpoint_deadline(now.capture_ms);
	part_tell_all(SERVICE_CAPTURE, PART_CAPTURING);
}

static void snapshot_begin(void)
{
	checkpoint_deadline(now.capture_ms);
	part_tell_all(SERVICE_SNAPSHOT, PART_SNAPSHOTTING);
}

static void release(int woken)
{
	for (struct part *p = now.parts; p; p = p->next) {
		if (p->woken != woken)
			continue;
		p->state = p->service ? PART_RELEASING : PART_RELEASED;
		if (p->service)
			service_say(p->service, SERVICE_RELEASE, NULL, 0);
	}
}

static void release_begin(void)
{
	if (now.hold) { /* everybody stays parked until the commit */
		checkpoint_advance();
		return;
	}
	now.deadline.fire = release_late;
	loop_timer_set(&now.deadline, RELEASE_MS);
	/* Before anybody can be poked by it again. */
	stop_request_clear();
	/* Who was stopped first: nobody shall see it otherwise. */
	release(1);
	part_await_stopped();
	release(0);
	checkpoint_advance();
}

/* ---- WRITE, which begins by itself after the release ---- */

static void progress(struct loop_timer *timer)
{
	figures_progress();
	loop_timer_set(timer, PROGRESS_MS);
}

static void saved_run(struct worker_job *job)
{
	(void)job;
	store_save();
}

static void saved_done(struct worker_job *job)
{
	(void)job;
	now.job_busy = 0;
	if (now.state != RUNNING) {
		ending_step();
		return;
	}
	loop_timer_stop(&now.progress);
	figures_progress();
	now.phase_done = 1;
	figures_done("write", figures_write());
}

static int all_written(void)
{
	for (struct part *p = now.parts; p; p = p->next)
		if (p->writer_state != WRITER_SAFE)
			return 0;
	return now.copying == 0;
}

static void write_begin(void)
{
	now.phase = PHASE_WRITE;
	now.phase_done = 0;
	now.phase_began = loop_now();
	loop_timer_stop(&now.deadline);
	now.progress.fire = progress;
	loop_timer_set(&now.progress, PROGRESS_MS);
	files_keep();
	checkpoint_advance();
}

/* ---- COMMIT ---- */

static void commit_run(struct worker_job *job)
{
	(void)job;
	now.job_result = 0;
	for (struct part *p = now.parts; p && now.job_result == 0; p = p->next)
		now.job_result = generation_image_check(
			&now.generation, p->image_name, p->written.header_hash);
	/* Another agent has written it, unless our directory is our own. */
	if (now.job_result == 0 && now.manifest &&
	    !generation_is_committed(&now.generation))
		now.job_result = generation_commit(
			&now.generation, now.manifest, now.keep, now.warnings);
}

static void commit_done(struct worker_job *job)
{
	(void)job;
	now.job_busy = 0;
	if (now.job_result < 0) {
		ending_fail(NULL, now.job_result, "%s", now.generation.why);
		return;
	}
	log_line("checkpoint %lld: %s", (long long)now.request,
		 now.manifest ? "committed" : "done");
	if (now.hold)
		members_kill();
	figures_done("commit", json_pack("{s:O}", "warnings", now.warnings));
	if (now.abort_asked) /* it came too late */
		figures_done("abort", json_object());
	ending_finish();
}

static void commit_begin(const json_t *body)
{
	json_t *manifest = json_object_get(body, "manifest");

	json_decref(now.warnings);
	now.warnings = json_array(); /* the others have been told */
	now.manifest = json_is_object(manifest) ? json_incref(manifest) : NULL;
	now.job.run = commit_run;
	now.job.done = commit_done;
	now.job_busy = 1;
	worker_submit(&now.job);
}

/* ---- is the phase done? ---- */

static void stop_done(void)
{
	json_t *figures;

	now.phase_done = 1;
	figures = figures_stop();
	if (now.state == RUNNING)
		figures_done("stop", figures);
	else
		json_decref(figures);
}

void checkpoint_advance(void)
{
	if (now.state == ENDING)
		ending_step();
	if (now.state != RUNNING || now.phase_done)
		return;
	switch (now.phase) {
	case PHASE_STOP:
		if (!part_all(PART_PARKED) || stop_gather() ||
		    now.state != RUNNING)
			return; /* the tick goes on */
		loop_timer_stop(&now.tick);
		loop_timer_stop(&now.deadline);
		stop_done();
		break;
	case PHASE_CAPTURE:
		if (!part_all(PART_CAPTURED) || now.copying > 0)
			return;
		loop_timer_stop(&now.deadline);
		now.phase_done = 1;
		figures_done("capture", figures_capture());
		break;
	case PHASE_SNAPSHOT:
		if (!part_all(PART_SNAPSHOTTED))
			return;
		loop_timer_stop(&now.deadline);
		now.phase_done = 1;
		figures_done("snapshot", json_object());
		break;
	case PHASE_RELEASE:
		if (!now.hold && !part_all(PART_RELEASED))
			return;
		figures_done("release", figures_release());
		write_begin();
		break;
	case PHASE_WRITE:
		if (!all_written() || now.job_busy)
			return;
		now.job.run = saved_run;
		now.job.done = saved_done;
		now.job_busy = 1;
		worker_submit(&now.job);
		break;
	default:
		break;
	}
}

/* ---- the coordinator ---- */

void checkpoint_prepare(const json_t *body)
{
	const char *why = NULL;

	if (now.state == ENDING && now.undone)
		ending_finish(); /* its ABORT will not come any more */
	if (now.state != IDLE)
		why = "a checkpoint is still under way";
	else if (rebirth_busy())
		why = "the restart is still under way";
	if (!why) {
		prepare_begin(body);
		return;
	}
	uplink_say(WIRE_FAILED,
		   json_pack("{s:I, s:s, s:i, s:s, s:i, s:s}", "request",
			     (json_int_t)wire_int(body, "request", 0), "phase",
			     phase_name(PHASE_PREPARE), "pid", 0, "program", "",
			     "error", EBUSY, "text", why));
}

void checkpoint_phase(enum wire_phase phase, const json_t *body)
{
	if (now.state != RUNNING || wire_int(body, "request", 0) != now.request)
		return; /* it will hear, or has heard, that we failed */
	if (phase != now.phase + 1 || !now.phase_done) {
		ending_fail(NULL, -EPROTO,
			    "the coordinator asked for %s in phase %s",
			    phase_name(phase), phase_name(now.phase));
		return;
	}
	now.phase = phase;
	now.phase_done = 0;
	now.phase_began = loop_now();
	if ((phase == PHASE_RELEASE || phase == PHASE_COMMIT) &&
	    prepare_fault())
		return;
	switch (phase) {
	case PHASE_STOP:
		stop_begin();
		break;
	case PHASE_CAPTURE:
		capture_begin(body);
		break;
	case PHASE_SNAPSHOT:
		snapshot_begin();
		break;
	case PHASE_RELEASE:
		release_begin();
		break;
	case PHASE_COMMIT:
		commit_begin(body);
		break;
	default:
		break;
	}
}

void checkpoint_abort(const json_t *body)
{
	json_int_t request = wire_int(body, "request", 0);

	if (now.state == IDLE || request != now.request) {
		/* Nothing of it is here (any more). */
		uplink_say(WIRE_DONE, json_pack("{s:I, s:s}", "request",
						request, "phase", "abort"));
		return;
	}
	now.abort_asked = 1;
	if (now.state == ENDING) {
		if (now.undone)
			ending_answer();
		return;
	}
	/* The worker may be past the point of no return: it decides. */
	if (now.phase == PHASE_COMMIT && now.job_busy) {
		worker_cancel(1);
		return;
	}
	log_line("checkpoint %lld is aborted: %s", (long long)now.request,
		 wire_string(body, "reason", "no reason given"));
	ending_begin();
}

void checkpoint_orphaned(void)
{
	if (now.state == RUNNING &&
	    !(now.phase == PHASE_COMMIT && now.job_busy)) {
		log_line("checkpoint %lld is aborted: the coordinator is gone",
			 (long long)now.request);
		ending_begin();
	} else if (now.state == ENDING && now.undone) {
		ending_finish();
	}
}
