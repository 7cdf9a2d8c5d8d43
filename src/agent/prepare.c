/* SPDX-License-Identifier: MIT */
/* PREPARE: is it possible at all? Folders, space, and nobody among the
 * descendants that we cannot stop. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "agent/agent.h"
#include "agent/members.h"
#include "agent/now.h"
#include "agent/proc.h"
#include "agent/uplink.h"
#include "util/log.h"

#define AGAIN_MS 5 /* while somebody is being born or in exec */

static void prepare_run(struct worker_job *job)
{
	(void)job;
	now.job_result = generation_open(&now.generation, now.dir);
	if (now.job_result == 0)
		now.job_result =
			generation_space(&now.generation, now.memory,
					 now.compress != COMPRESS_NONE);
	if (now.job_result == 0)
		now.job_result = store_open(now.generation.store_fd);
}

void prepare_pending(void)
{
	struct proc_stat stat = {.comm = "?"};
	char what[256], text[512];
	pid_t pid = now.pending.pid;

	proc_stat(pid, 0, &stat);
	proc_describe(pid, what, sizeof(what));
	snprintf(text, sizeof(text), "process %d (%s) %s, and %s", pid,
		 stat.comm,
		 now.pending.sharing ? "shares its parent's memory (vfork or "
				       "posix_spawn) until it gets to its exec"
				     : "does not get to load the library",
		 what);
	ending_fail_text(pid, stat.comm, -ETIMEDOUT, text);
}

/* What costs time is done before anybody has to stand still. Who comes later,
 * or does not get his now, gets it in STOP. */
static void open_images(void)
{
	for (struct member *m = members_first(); m; m = m->next)
		if (!m->part && part_add(m))
			writer_prepare(m->part);
}

static void tree_check(struct loop_timer *timer)
{
	struct members_stranger stranger;

	(void)timer;
	if (members_stranger(now.phase_began, &now.pending, &stranger) &&
	    !now.ignore_foreign) {
		char text[512];

		snprintf(text, sizeof(text),
			 "process %d (%s) cannot be checkpointed: it %s; end "
			 "it, or allow it with --ignore-foreign",
			 stranger.pid, stranger.program, stranger.why);
		ending_fail_text(stranger.pid, stranger.program, -ENOTSUP,
				 text);
		return;
	}
	if (members_count() == 0) {
		ending_fail(NULL, -ESRCH, "there is nothing to checkpoint");
		return;
	}
	/* Who has come since is no reason to wait: in a busy tree somebody
	 * always has, and STOP looks again. */
	if (!now.looked)
		now.looked = loop_now();
	if (now.pending.pid && now.pending.since <= now.looked) {
		if (loop_now() - now.phase_began <
		    (uint64_t)now.stop_ms * 1000000)
			loop_timer_set(&now.tick, AGAIN_MS);
		else
			prepare_pending();
		return;
	}
	open_images();
	now.phase_done = 1;
	figures_done("prepare",
		     json_pack("{s:i, s:I}", "processes", (int)members_count(),
			       "bytes", (json_int_t)now.memory));
}

static void prepare_done(struct worker_job *job)
{
	(void)job;
	now.job_busy = 0;
	if (now.state != RUNNING) {
		ending_step();
		return;
	}
	if (now.job_result < 0) {
		ending_fail(NULL, now.job_result, "%s",
			    now.generation.why[0] ? now.generation.why
						  : "cannot open the store");
		return;
	}
	now.tick.fire = tree_check;
	tree_check(&now.tick);
}

static enum wire_phase phase_of(const char *name)
{
	for (int i = PHASE_IDLE + 1; i < PHASE_COUNT; i++)
		if (strcasecmp(name, phase_name(i)) == 0)
			return i;
	return PHASE_IDLE;
}

static uint32_t compress_of(const char *name)
{
	if (strcmp(name, "lz4") == 0)
		return COMPRESS_LZ4;
	return strcmp(name, "none") == 0 ? COMPRESS_NONE : COMPRESS_AUTO;
}

int prepare_fault(void)
{
	if (now.fault_phase != now.phase || !now.fault_error)
		return 0;
	ending_fail(NULL, now.fault_error, "CKPT_FAULT asked for it");
	return 1;
}

static void options_take(const json_t *body)
{
	const json_t *fault = json_object_get(body, "fault");

	now.number_of_generation = (uint32_t)wire_int(body, "generation", 0);
	now.compress = compress_of(wire_string(body, "compress", "auto"));
	now.threads = (uint32_t)wire_int(body, "threads", 0);
	now.sync = (uint32_t)wire_bool(body, "sync", 0);
	now.rollback =
		strcmp(wire_string(body, "files", "rollback"), "reopen") != 0;
	now.keep = (uint32_t)wire_int(body, "keep", 2);
	now.group = (int)wire_int(body, "group", 0);
	now.groups = (int)wire_int(body, "groups", 1);
	now.stop_ms = (uint32_t)wire_int(body, "stop_ms", 60000);
	now.capture_ms = (uint32_t)wire_int(body, "capture_ms", 60000);
	now.hold = wire_bool(body, "hold", 0);
	now.gentle = wire_int(body, "tries", 0) > 0;
	now.ignore_foreign = wire_bool(body, "ignore_foreign", 0);
	now.fault_phase = PHASE_IDLE;
	now.fault_error = 0;
	if (fault) {
		now.fault_phase = phase_of(wire_string(fault, "phase", ""));
		now.fault_error = -abs((int)wire_int(fault, "error", EIO));
	}
}

static void generation_dir_take(const json_t *body)
{
	const char *dir = wire_string(body, "generation_dir", "");

	if (dir[0] == '/')
		snprintf(now.dir, sizeof(now.dir), "%s", dir);
	else
		snprintf(now.dir, sizeof(now.dir), "%s/%s",
			 wire_string(body, "dir", ""), dir);
	/* For an agent that comes after us: what to sweep. */
	if (strlen(now.dir) < sizeof(agent.registry->generation_dir))
		strcpy(agent.registry->generation_dir, now.dir);
}

void prepare_begin(const json_t *body)
{
	now.state = RUNNING;
	now.phase = PHASE_PREPARE;
	now.phase_done = now.abort_asked = now.undone = 0;
	now.request = wire_int(body, "request", 0);
	now.phase_began = loop_now();
	now.warnings = json_array();
	now.told = 0;
	now.looked = 0;
	worker_cancel(0);
	options_take(body);
	generation_dir_take(body);
	generation_init(&now.generation);
	log_line("checkpoint %lld: generation %u into %s",
		 (long long)now.request, now.number_of_generation, now.dir);
	if (prepare_fault())
		return;
	members_scan();
	members_name();
	now.memory = members_memory();
	now.job.run = prepare_run;
	now.job.done = prepare_done;
	now.job_busy = 1;
	worker_submit(&now.job);
}
