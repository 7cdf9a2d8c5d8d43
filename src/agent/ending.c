/* SPDX-License-Identifier: MIT */
/*
 * A checkpoint that is not to be. Everybody is released at once, without
 * waiting for the coordinator; what has been written goes away; then its
 * ABORT finds us ready. No step here can fail the job.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/now.h"
#include "agent/proc.h"
#include "agent/uplink.h"
#include "util/log.h"

#define ANSWER_MS 10000 /* to answer ABORT */

void ending_warn(const char *format, ...)
{
	char line[PATH_MAX + 128];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	log_line("checkpoint %lld: %s", (long long)now.request, line);
	json_array_append_new(now.warnings, wire_text(line));
}

void ending_finish(void)
{
	loop_timer_stop(&now.tick);
	loop_timer_stop(&now.deadline);
	loop_timer_stop(&now.progress);
	stop_request_clear();
	part_free_all();
	files_free();
	remotes_free();
	tree_forget();
	descriptors_forget();
	generation_close(&now.generation);
	agent.registry->generation_dir[0] = 0;
	json_decref(now.warnings);
	json_decref(now.manifest);
	now.warnings = now.manifest = NULL;
	now.state = IDLE;
	now.phase = PHASE_IDLE;
	agent_check_end();
}

static void undo_run(struct worker_job *job)
{
	(void)job;
	for (struct store_file *file = now.files; file; file = file->next)
		store_drop(file);
	if (now.generation.fd >= 0)
		for (struct part *p = now.parts; p; p = p->next)
			generation_image_remove(&now.generation, p->image_name);
	if (now.generation.store_fd >= 0)
		store_discard();
	generation_discard(&now.generation);
}

void ending_answer(void)
{
	if (!now.abort_asked && uplink_is_up())
		return; /* ABORT will come */
	figures_done("abort", json_object());
	ending_finish();
}

static void undo_done(struct worker_job *job)
{
	(void)job;
	now.job_busy = 0;
	now.undone = 1;
	log_line("checkpoint %lld has been undone", (long long)now.request);
	ending_answer();
}

/* First all processes go free, then the worker is done with what it had, then
 * the files go. */
void ending_step(void)
{
	if (now.undone || now.job_busy || worker_busy())
		return;
	for (struct part *p = now.parts; p; p = p->next)
		if (p->service && p->state < PART_RELEASED)
			return;
	loop_timer_stop(&now.deadline);
	now.job.run = undo_run;
	now.job.done = undo_done;
	now.job_busy = 1;
	worker_submit(&now.job);
}

static void undo_late(struct loop_timer *timer)
{
	(void)timer;
	for (struct part *p = now.parts; p; p = p->next)
		if (p->service && p->state < PART_RELEASED) {
			char what[256];

			proc_describe(p->pid, what, sizeof(what));
			log_line("process %d (%s) does not answer the abort: "
				 "it %s",
				 p->pid, p->program, what);
			p->state = PART_RELEASED;
			part_service_leave(p);
		}
	ending_step();
}

void ending_begin(void)
{
	now.state = ENDING;
	now.undone = 0;
	loop_timer_stop(&now.tick);
	loop_timer_stop(&now.progress);
	stop_request_clear();
	worker_cancel(1);
	for (struct part *p = now.parts; p; p = p->next)
		if (p->woken)
			part_abort(p);
	part_await_stopped();
	for (struct part *p = now.parts; p; p = p->next)
		if (!p->woken)
			part_abort(p);
	now.deadline.fire = undo_late;
	loop_timer_set(&now.deadline, ANSWER_MS);
	ending_step();
}

void ending_fail_text(pid_t pid, const char *program, int error,
		      const char *text)
{
	if (now.state != RUNNING)
		return; /* the first failure is the reason */
	log_line("checkpoint %lld failed in phase %s: %s",
		 (long long)now.request, phase_name(now.phase), text);
	uplink_say(WIRE_FAILED,
		   json_pack("{s:I, s:s, s:i, s:o, s:i, s:o}", "request",
			     now.request, "phase", phase_name(now.phase), "pid",
			     (int)pid, "program", wire_text(program), "error",
			     abs(error), "text", wire_text(text)));
	ending_begin();
}

void ending_fail(const struct part *p, int error, const char *format, ...)
{
	char text[PATH_MAX + 512];
	size_t length;
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	length = strlen(text);
	if (error)
		snprintf(text + length, sizeof(text) - length, ": %s",
			 strerror(abs(error)));
	ending_fail_text(p ? p->pid : 0, p ? p->program : "", error, text);
}
