/* SPDX-License-Identifier: MIT */
/*
 * Each process taking part has a struct part that goes up a ladder of states,
 * one rung a message; a phase is done when every part has reached its rung
 * (checkpoint_advance()). Whatever goes wrong leads to fail(): everybody is
 * released at once, the coordinator is told, the files are removed, and its
 * ABORT finds us ready.
 */
#define _GNU_SOURCE
#include "agent/checkpoint.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/generation.h"
#include "agent/members.h"
#include "agent/poke.h"
#include "agent/proc.h"
#include "agent/rebirth.h"
#include "agent/service.h"
#include "agent/store.h"
#include "agent/uplink.h"
#include "util/log.h"

#define TICK_MS 5	   /* how often STOP looks again, at first */
#define POKE_MS 20	   /* no HELLO so soon after a poke: poke again */
#define POKE_MAX_MS 1000   /* the interval doubles up to this */
#define HELD_NS 2000000000 /* a process stopped for so long will stay so */
#define RELEASE_MS 10000   /* to answer RELEASE or ABORT */
#define PROGRESS_MS 200

enum part_state {
	PART_WAITING, /* to be poked, or poked */
	PART_BEGUN,   /* HELLO came, BEGIN has been sent */
	PART_PARKED,
	PART_CAPTURING,
	PART_CAPTURED,
	PART_SNAPSHOTTING,
	PART_SNAPSHOTTED,
	PART_RELEASING, /* RELEASE or ABORT has been sent */
	PART_RELEASED,
};

enum writer_state {
	WRITER_NONE,
	WRITER_BUSY,
	WRITER_CHECKING, /* WRITTEN came; the worker looks at the image */
	WRITER_SAFE,
};

struct part {
	struct part *next;
	struct member *member; /* NULL: it has died */
	pid_t pid, ppid;
	char program[24];
	enum part_state state;
	struct service *service; /* NULL: none, or gone */
	unsigned pokes;
	uint64_t poke_due;

	struct service *writer;
	enum writer_state writer_state;
	pid_t writer_pid; /* 0: a thread of the process */
	int writer_pidfd;

	int image_fd, image_named;
	char image_name[32];
	struct worker_job image_job;
	int image_result;

	uint32_t threads;
	uint64_t park_ns, bytes, stopped_ns, raw, stored;
	struct service_written written;
};

enum file_state {
	FILE_WAITING, /* for the release */
	FILE_COPYING,
	FILE_COPIED, /* safe, without a name */
	FILE_KEPT,
};

enum checkpoint_state {
	IDLE,
	RUNNING, /* `phase` is under way, or done if phase_done */
	ENDING,	 /* failed or aborted: being undone */
};

static struct {
	enum checkpoint_state state;
	enum wire_phase phase;
	int phase_done;
	json_int_t request; /* the coordinator's */
	uint32_t number;    /* the registry's */
	int abort_asked, undone;

	uint32_t compress, threads, sync, rollback, stop_ms, capture_ms, keep;
	int hold, ignore_foreign;
	uint32_t number_of_generation;
	enum wire_phase fault_phase;
	int fault_error;

	struct part *parts;
	struct store_file *files;
	unsigned copying, keeping; /* files in the worker's hands */
	json_t *warnings, *manifest;
	struct generation generation;
	struct worker_job job; /* prepare, commit, undo: never two at once */
	int job_busy, job_result;
	char why[PATH_MAX + 256];
	char dir[PATH_MAX];
	uint64_t memory;

	uint64_t phase_began;
	uint64_t tick_ms;
	uint64_t told; /* bytes of the last PROGRESS */
	struct loop_timer tick, deadline, progress;
} now = {.generation = {.fd = -1, .parent_fd = -1, .store_fd = -1}};

static void advance(void);
static void undo(void);

int checkpoint_busy(void)
{
	return now.state != IDLE;
}

enum wire_phase checkpoint_now(void)
{
	return now.state == RUNNING ? now.phase : PHASE_IDLE;
}

/* ---- parts ---- */

static struct part *part_find(pid_t pid)
{
	struct part *p = now.parts;

	while (p && p->pid != pid)
		p = p->next;
	return p;
}

int checkpoint_is_writer(pid_t pid)
{
	for (struct part *p = now.parts; p; p = p->next)
		if (p->writer_pid == pid && p->writer_pid > 0)
			return 1;
	return 0;
}

static struct part *part_add(struct member *m)
{
	struct part *p = calloc(1, sizeof(*p)), **at = &now.parts;
	struct proc_stat stat;

	if (!p)
		return NULL;
	if (proc_stat(m->pid, 0, &stat) == 0)
		p->ppid = stat.ppid;
	p->member = m;
	p->pid = m->pid;
	memcpy(p->program, m->program, sizeof(p->program));
	p->writer_pidfd = p->image_fd = -1;
	snprintf(p->image_name, sizeof(p->image_name), "proc-%d.img", m->pid);
	m->part = p;
	while (*at)
		at = &(*at)->next;
	*at = p;
	return p;
}

/* The service thread may stay a little to reap its writer. */
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

static void part_service_leave(struct part *p)
{
	if (!p->service)
		return;
	p->service->owner = &leaving;
	if (p->member)
		p->member->leaving = p->service;
	p->service = NULL;
}

static void part_writer_close(struct part *p)
{
	if (p->writer)
		service_close(p->writer);
	p->writer = NULL;
	if (p->writer_pidfd >= 0)
		close(p->writer_pidfd);
	p->writer_pidfd = -1;
}

static void part_image_close(struct part *p)
{
	if (p->image_fd >= 0)
		close(p->image_fd);
	p->image_fd = -1;
}

static void parts_free(void)
{
	while (now.parts) {
		struct part *p = now.parts;

		now.parts = p->next;
		part_service_leave(p);
		part_writer_close(p);
		part_image_close(p);
		if (p->member)
			p->member->part = NULL;
		free(p);
	}
}

static int parts_all(enum part_state least)
{
	for (struct part *p = now.parts; p; p = p->next)
		if (p->state < least)
			return 0;
	return 1;
}

/* ---- the end of one ---- */

static void warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void warn(const char *format, ...)
{
	char line[PATH_MAX + 128];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	log_line("checkpoint %lld: %s", (long long)now.request, line);
	json_array_append_new(now.warnings, wire_text(line));
}

static void request_clear(void)
{
	__atomic_store_n(&agent.registry->request, 0, __ATOMIC_SEQ_CST);
}

static void files_free(void)
{
	while (now.files) {
		struct store_file *file = now.files;

		now.files = file->next;
		if (file->fd >= 0)
			close(file->fd);
		free(file);
	}
}

/* Back to IDLE; the files have been seen to. */
static void finish(void)
{
	loop_timer_stop(&now.tick);
	loop_timer_stop(&now.deadline);
	loop_timer_stop(&now.progress);
	request_clear();
	parts_free();
	files_free();
	generation_close(&now.generation);
	agent.registry->generation_dir[0] = 0;
	json_decref(now.warnings);
	json_decref(now.manifest);
	now.warnings = now.manifest = NULL;
	now.state = IDLE;
	now.phase = PHASE_IDLE;
	agent_check_end();
}

static void say_done(const char *phase, json_t *figures)
{
	json_object_set_new(figures, "request", json_integer(now.request));
	json_object_set_new(figures, "phase", json_string(phase));
	uplink_say(WIRE_DONE, figures);
}

static void undo_run(struct worker_job *job)
{
	(void)job;
	for (struct store_file *file = now.files; file; file = file->next)
		store_drop(file);
	if (now.generation.fd >= 0)
		for (struct part *p = now.parts; p; p = p->next)
			generation_image_remove(&now.generation,
						p->image_name);
	if (now.generation.store_fd >= 0)
		store_discard();
	generation_discard(&now.generation);
}

static void undo_answer(void)
{
	if (!now.abort_asked && uplink_is_up())
		return; /* ABORT will come */
	say_done("abort", json_object());
	finish();
}

static void undo_done(struct worker_job *job)
{
	(void)job;
	now.job_busy = 0;
	now.undone = 1;
	log_line("checkpoint %lld has been undone", (long long)now.request);
	undo_answer();
}

/* One step of ENDING, when something has ended: first all processes go free,
 * then the worker is done with what it had, then the files go. */
static void undo(void)
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
	undo();
}

static void part_abort(struct part *p)
{
	if (p->writer_pidfd >= 0)
		syscall(SYS_pidfd_send_signal, p->writer_pidfd, SIGKILL, NULL,
			0);
	part_writer_close(p);
	if (!p->service || p->state >= PART_RELEASING)
		return;
	p->state = PART_RELEASING;
	if (service_say(p->service, SERVICE_ABORT, NULL, 0) < 0) {
		service_close(p->service); /* says the same */
		p->service = NULL;
	}
}

/* Everybody goes on; what has been written goes away. */
static void end_begin(void)
{
	now.state = ENDING;
	now.undone = 0;
	loop_timer_stop(&now.tick);
	loop_timer_stop(&now.progress);
	request_clear();
	worker_cancel(1);
	for (struct part *p = now.parts; p; p = p->next)
		part_abort(p);
	now.deadline.fire = undo_late;
	loop_timer_set(&now.deadline, RELEASE_MS);
	undo();
}

static void fail_text(pid_t pid, const char *program, int error,
		      const char *text)
{
	if (now.state != RUNNING)
		return; /* the first failure is the reason */
	log_line("checkpoint %lld failed in phase %s: %s",
		  (long long)now.request, phase_name(now.phase), text);
	uplink_say(WIRE_FAILED,
		   json_pack("{s:I, s:s, s:i, s:o, s:i, s:o}", "request",
			     now.request, "phase", phase_name(now.phase),
			     "pid", (int)pid, "program", wire_text(program),
			     "error", abs(error), "text", wire_text(text)));
	end_begin();
}

/* error: -errno, or 0 when the text says all. */
static void fail(const struct part *p, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static void fail(const struct part *p, int error, const char *format, ...)
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
	fail_text(p ? p->pid : 0, p ? p->program : "", error, text);
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
		if (q->state < least && late++ == 0)
			p = q;
	if (late == 0) {
		fail(NULL, -ETIMEDOUT, "phase %s", phase_name(now.phase));
		return;
	}
	proc_describe(p->pid, what, sizeof(what));
	if (late == 1)
		fail(p, 0, "process %d (%s) was too late for phase %s: it %s",
		     p->pid, p->program, phase_name(now.phase), what);
	else
		fail(p, 0,
		     "%u processes were too late for phase %s; the first, %d "
		     "(%s), %s",
		     late, phase_name(now.phase), p->pid, p->program, what);
}

static void release_late(struct loop_timer *timer)
{
	(void)timer;
	for (struct part *p = now.parts; p; p = p->next)
		if (p->state < PART_RELEASED) {
			warn("process %d (%s) has not said that it runs again",
			     p->pid, p->program);
			p->state = PART_RELEASED;
		}
	advance();
}

static void deadline_set(uint32_t ms)
{
	now.deadline.fire = too_late;
	loop_timer_set(&now.deadline, ms);
}

/* ---- PREPARE ---- */

static void prepare_run(struct worker_job *job)
{
	(void)job;
	now.job_result = generation_open(&now.generation, now.dir);
	if (now.job_result == 0)
		now.job_result = generation_space(&now.generation, now.memory,
						  now.compress != COMPRESS_NONE);
	if (now.job_result == 0)
		now.job_result = store_open(now.generation.store_fd);
}

static void tree_look(struct loop_timer *timer)
{
	struct members_stranger stranger;
	int pending;

	(void)timer;
	if (members_stranger(now.phase_began, &pending, &stranger) &&
	    !now.ignore_foreign) {
		char text[512];

		snprintf(text, sizeof(text),
			 "process %d (%s) cannot be checkpointed: it %s; end "
			 "it, or allow it with --ignore-foreign",
			 stranger.pid, stranger.program, stranger.why);
		fail_text(stranger.pid, stranger.program, -ENOTSUP, text);
		return;
	}
	if (members_count() == 0) {
		fail(NULL, -ESRCH, "there is nothing to checkpoint");
		return;
	}
	if (pending && loop_now() - now.phase_began <
			       (uint64_t)now.stop_ms * 1000000) {
		loop_timer_set(&now.tick, TICK_MS);
		return;
	}
	now.phase_done = 1;
	say_done("prepare",
		 json_pack("{s:i, s:I}", "processes", (int)members_count(),
			   "bytes", (json_int_t)now.memory));
}

static void prepare_done(struct worker_job *job)
{
	(void)job;
	now.job_busy = 0;
	if (now.state != RUNNING) {
		undo();
		return;
	}
	if (now.job_result < 0) {
		fail(NULL, now.job_result, "%s",
		     now.generation.why[0] ? now.generation.why
					   : "cannot open the store");
		return;
	}
	now.tick.fire = tree_look;
	tree_look(&now.tick);
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

static int fault_here(void)
{
	if (now.fault_phase != now.phase || !now.fault_error)
		return 0;
	fail(NULL, now.fault_error, "CKPT_FAULT asked for it");
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
	now.stop_ms = (uint32_t)wire_int(body, "stop_ms", 60000);
	now.capture_ms = (uint32_t)wire_int(body, "capture_ms", 60000);
	now.hold = wire_bool(body, "hold", 0);
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

void checkpoint_prepare(const json_t *body)
{
	if (now.state == ENDING && now.undone)
		finish();
	if (now.state != IDLE || rebirth_busy()) {
		const char *why = now.state != IDLE
					  ? "a checkpoint is still under way"
					  : "the restart is still under way";

		uplink_say(WIRE_FAILED,
			   json_pack("{s:I, s:s, s:i, s:s, s:i, s:s}",
				     "request",
				     (json_int_t)wire_int(body, "request", 0),
				     "phase", phase_name(PHASE_PREPARE), "pid",
				     0, "program", "", "error", EBUSY, "text",
				     why));
		return;
	}
	now.state = RUNNING;
	now.phase = PHASE_PREPARE;
	now.phase_done = now.abort_asked = now.undone = 0;
	now.request = wire_int(body, "request", 0);
	now.phase_began = loop_now();
	now.warnings = json_array();
	now.told = 0;
	worker_cancel(0);
	options_take(body);
	generation_dir_take(body);
	generation_init(&now.generation);
	log_line("checkpoint %lld: generation %u into %s",
		  (long long)now.request, now.number_of_generation, now.dir);
	if (fault_here())
		return;
	members_scan();
	now.memory = members_memory();
	now.job.run = prepare_run;
	now.job.done = prepare_done;
	now.job_busy = 1;
	worker_submit(&now.job);
}

/* ---- STOP ---- */

static uint64_t poke_interval_ms(unsigned pokes)
{
	uint64_t ms = POKE_MS;

	while (pokes-- > 1 && ms < POKE_MAX_MS)
		ms *= 2;
	return ms < POKE_MAX_MS ? ms : POKE_MAX_MS;
}

static void part_poke(struct part *p)
{
	struct member *m = p->member;
	int ret;

	if (m->slot && __atomic_load_n(&m->slot->answered, __ATOMIC_ACQUIRE) ==
			       now.number) {
		int error = __atomic_load_n(&m->slot->error, __ATOMIC_ACQUIRE);

		if (error)
			fail(p, error,
			     "process %d (%s) could not start its service "
			     "thread",
			     p->pid, p->program);
		return; /* it is on its way */
	}
	if (loop_now() < p->poke_due)
		return;
	ret = poke(m, now.number, p->pokes);
	if (ret == POKE_SENT) {
		p->pokes++;
		p->poke_due = loop_now() +
			      poke_interval_ms(p->pokes) * 1000000;
	} else if (ret < 0) {
		fail(p, ret, "cannot signal process %d (%s)", p->pid,
		     p->program);
	} else if (m->held_since && loop_now() - m->held_since > HELD_NS) {
		char what[256];

		proc_describe(p->pid, what, sizeof(what));
		fail(p, 0, "process %d (%s) %s", p->pid, p->program, what);
	}
}

/* Who is new since the last look takes part too. 1: somebody is, or will be
 * as soon as it is ready. */
static int parts_gather(void)
{
	struct members_stranger stranger;
	int pending = 0, more = 0;

	if (members_stranger(now.phase_began, &pending, &stranger) &&
	    !now.ignore_foreign) {
		fail(NULL, 0,
		     "process %d (%s), started meanwhile, %s; end it, or allow "
		     "it with --ignore-foreign",
		     stranger.pid, stranger.program, stranger.why);
		return 1;
	}
	for (struct member *m = members_first(); m; m = m->next)
		if (!m->part) {
			more = 1;
			if (!part_add(m))
				fail(NULL, -ENOMEM, "process %d", m->pid);
		}
	return more || pending;
}

static void stop_tick(struct loop_timer *timer)
{
	if (parts_all(PART_PARKED)) {
		/* Nobody of those can have made another one since. */
		int more = parts_gather();

		if (now.state == RUNNING && !more) {
			advance();
			return;
		}
	}
	for (struct part *p = now.parts; p && now.state == RUNNING; p = p->next)
		if (p->state == PART_WAITING && p->member)
			part_poke(p);
	if (now.state != RUNNING)
		return;
	if (loop_now() - now.phase_began > 200000000)
		now.tick_ms = 10 * TICK_MS;
	loop_timer_set(timer, now.tick_ms);
}

static void stop_begin(void)
{
	struct registry_header *registry = agent.registry;

	proc_clocks_forget();
	members_scan();
	for (struct member *m = members_first(); m; m = m->next) {
		m->held_since = 0;
		if (!part_add(m)) {
			fail(NULL, -ENOMEM, "process %d", m->pid);
			return;
		}
	}
	now.number = ++registry->last_request;
	if (now.number == 0)
		now.number = ++registry->last_request;
	__atomic_store_n(&registry->request, now.number, __ATOMIC_SEQ_CST);
	deadline_set(now.stop_ms);
	now.tick_ms = TICK_MS;
	now.tick.fire = stop_tick;
	stop_tick(&now.tick);
}

/* ---- what the processes say ---- */

static void file_done(struct worker_job *job);

static void file_copy_run(struct worker_job *job)
{
	struct store_file *file = container_of(job, struct store_file, job);
	int ret = worker_cancelled() ? -ECANCELED : store_copy(file);

	if (ret < 0 && !file->why[0])
		snprintf(file->why, sizeof(file->why), "cancelled");
	file->content_size = ret < 0 ? 0 : file->content_size;
	file->state = ret < 0 ? ret : FILE_COPIED;
}

static void file_keep_run(struct worker_job *job)
{
	struct store_file *file = container_of(job, struct store_file, job);
	int ret = worker_cancelled() ? -ECANCELED : 0;

	if (ret == 0 && file->state == FILE_WAITING)
		ret = store_copy(file);
	if (ret == 0)
		ret = store_keep(file);
	file->state = ret < 0 ? ret : FILE_KEPT;
}

static void file_done(struct worker_job *job)
{
	struct store_file *file = container_of(job, struct store_file, job);

	now.copying--;
	if (now.state != RUNNING) {
		undo();
		return;
	}
	if (file->state < 0)
		fail(NULL, file->state, "%s into %s/store", file->why,
		     now.generation.parent);
	else
		advance();
}

static void file_copy(struct store_file *file)
{
	now.copying++;
	file->job.run = file_copy_run;
	file->job.done = file_done;
	file->state = FILE_COPYING;
	worker_submit(&file->job);
}

static void files_keep(void)
{
	for (struct store_file *file = now.files; file; file = file->next) {
		now.copying++;
		file->job.run = file_keep_run;
		file->job.done = file_done;
		worker_submit(&file->job);
	}
}

static void file_came(const struct service_file *said, int fd)
{
	struct store_file *file = now.files;

	while (file && (file->dev != said->dev || file->ino != said->ino ||
			file->size != said->size || file->mtime != said->mtime))
		file = file->next;
	if (file) {
		close(fd);
		if (said->how == SERVICE_FILE_NOW && !file->now) {
			file->now = 1;
			file_copy(file);
		}
		return;
	}
	file = calloc(1, sizeof(*file));
	if (!file) {
		close(fd);
		fail(NULL, -ENOMEM, "the list of files");
		return;
	}
	file->dev = said->dev;
	file->ino = said->ino;
	file->size = said->size;
	file->mtime = said->mtime;
	file->fd = fd;
	file->copy = -1;
	file->now = said->how == SERVICE_FILE_NOW;
	file->next = now.files;
	now.files = file;
	if (file->now)
		file_copy(file);
}

/* Opens the pidfd of a writer, if it is one: its parent is the process. */
static void writer_watch(struct part *p, pid_t pid)
{
	struct proc_stat stat;

	p->writer_pid = pid;
	if (pid <= 0)
		return;
	p->writer_pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (p->writer_pidfd >= 0 &&
	    (proc_stat(pid, 0, &stat) < 0 || stat.ppid != p->pid)) {
		close(p->writer_pidfd);
		p->writer_pidfd = -1;
	}
}

static void part_failed(struct part *p, const struct service_message *message)
{
	char text[sizeof(message->failed.text)];

	memcpy(text, message->failed.text, sizeof(text));
	text[sizeof(text) - 1] = 0;
	/* A writer may be ahead of us. */
	if (now.state == RUNNING && message->failed.phase == PHASE_WRITE)
		now.phase = PHASE_WRITE;
	fail(p, message->failed.error, "process %d (%s): %s", p->pid,
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
		fail(p, -EPROTO, "process %d (%s) is out of step", p->pid,
		     p->program);
		return;
	}
	p->state = to;
	advance();
}

static void said(struct service *service,
		 const struct service_message *message, int fd)
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
			file_came(&message->file, fd);
		else if (fd >= 0)
			close(fd);
		break;
	case SERVICE_CAPTURED:
		p->bytes = message->captured.bytes;
		climb(p, PART_CAPTURING, PART_CAPTURED);
		break;
	case SERVICE_SNAPSHOTTED:
		writer_watch(p, message->snapshotted.writer);
		if (message->snapshotted.fallback && now.state == RUNNING)
			warn("process %d (%s) was written while stopped: no "
			     "snapshot (%s)",
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
		fail(p, -EPROTO, "process %d (%s) sent message %u", p->pid,
		     p->program, message->type);
	}
}

static int is_dead(struct member *m)
{
	struct pollfd dead = {.fd = m ? m->pidfd.fd : -1, .events = POLLIN};

	return !m || poll(&dead, 1, 0) > 0;
}

static void part_gone(struct part *p)
{
	if (now.state == RUNNING)
		fail(p, 0, "process %d (%s) ended in phase %s", p->pid,
		     p->program, phase_name(now.phase));
}

static void said_no_more(struct service *service)
{
	struct part *p = service->data;
	enum part_state had = p->state;

	p->service = NULL;
	if (had >= PART_RELEASING) { /* its thread has ended, as it should */
		p->state = PART_RELEASED;
		advance();
		return;
	}
	/* Another thread was in exec or exit: it was killed before parking. */
	if (had == PART_BEGUN && now.state == RUNNING) {
		part_writer_close(p);
		part_image_close(p);
		p->writer_state = WRITER_NONE;
		p->state = PART_WAITING;
		p->poke_due = 0;
		return;
	}
	p->state = PART_RELEASED;
	if (is_dead(p->member))
		part_gone(p);
	else
		fail(p, 0,
		     "process %d (%s) broke off in phase %s (its service "
		     "thread has ended)",
		     p->pid, p->program, phase_name(now.phase));
	advance();
}

static const struct service_owner part_owner = {
	.message = said,
	.lost = said_no_more,
};

/* ---- the writer ---- */

static void image_run(struct worker_job *job)
{
	struct part *p = container_of(job, struct part, image_job);

	p->image_result = generation_image_keep(
		&now.generation, p->image_fd, p->image_name, p->image_named,
		p->written.header_hash);
}

static void image_done(struct worker_job *job)
{
	struct part *p = container_of(job, struct part, image_job);

	part_image_close(p);
	if (now.state != RUNNING) {
		undo();
		return;
	}
	if (p->image_result < 0) {
		fail(p, p->image_result, "process %d (%s): %s", p->pid,
		     p->program, now.generation.why);
		return;
	}
	p->writer_state = WRITER_SAFE;
	advance();
}

static void writer_said(struct service *service,
			const struct service_message *message, int fd)
{
	struct part *p = service->data;

	if (fd >= 0)
		close(fd);
	switch (message->type) {
	case SERVICE_WROTE:
		p->raw = message->wrote.raw;
		p->stored = message->wrote.stored;
		/* It goes on: no deadline for who writes while parked. */
		if (now.state == RUNNING && now.phase == PHASE_SNAPSHOT &&
		    !now.phase_done)
			deadline_set(now.capture_ms);
		break;
	case SERVICE_WRITTEN:
		p->written = message->written;
		p->raw = message->written.raw;
		p->stored = message->written.stored;
		if (now.state != RUNNING || p->writer_state != WRITER_BUSY)
			break;
		p->writer_state = WRITER_CHECKING;
		p->image_job.run = image_run;
		p->image_job.done = image_done;
		worker_submit(&p->image_job);
		break;
	case SERVICE_FAILED:
		part_failed(p, message);
		break;
	default:
		fail(p, -EPROTO, "the writer of process %d sent message %u",
		     p->pid, message->type);
	}
}

static void writer_lost(struct service *service)
{
	struct part *p = service->data;

	p->writer = NULL;
	/* Before the snapshot its socket is in the hands of the process. */
	if (p->writer_state == WRITER_BUSY && p->state >= PART_SNAPSHOTTED)
		fail(p, 0, "the writer of process %d (%s) was killed", p->pid,
		     p->program);
}

static const struct service_owner writer_owner = {
	.message = writer_said,
	.lost = writer_lost,
};

/* ---- HELLO ---- */

static uint32_t parking_ms(void)
{
	uint64_t gone = (loop_now() - now.phase_began) / 1000000;
	uint64_t left = gone < now.stop_ms ? now.stop_ms - gone : 0;

	/* It knows which thread is late, we only which process: first it. */
	left -= left / 10 < 500 ? left / 10 : 500;
	return left > 0 ? (uint32_t)left : 1;
}

/* The image, the writer's socket, and BEGIN with both. 0 or -errno. */
static int part_begin(struct part *p)
{
	struct service_begin begin = {
		.request = now.number,
		.generation = now.number_of_generation,
		.compress = now.compress,
		.threads = now.threads,
		.sync = now.sync,
		.rollback = now.rollback,
		.stop_ms = parking_ms(),
		.fault_phase = now.fault_phase,
		.fault_error = now.fault_error,
	};
	int pair[2], fds[2], ret;

	snprintf(begin.computation, sizeof(begin.computation), "%s",
		 agent.computation);
	p->image_fd = generation_image_create(&now.generation, p->image_name,
					      &p->image_named);
	if (p->image_fd < 0)
		return p->image_fd;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	fds[0] = p->image_fd;
	fds[1] = pair[1];
	ret = service_say_with(p->service, SERVICE_BEGIN, &begin,
			       sizeof(begin), fds, 2);
	close(pair[1]);
	p->writer = service_adopt(pair[0], p->pid, &writer_owner, p);
	p->writer_state = WRITER_BUSY;
	return ret == 0 && !p->writer ? -ENOMEM : ret;
}

void checkpoint_hello(struct service *service, const struct service_hello *hello)
{
	struct part *p;
	int ret;

	if (now.state != RUNNING || now.phase != PHASE_STOP ||
	    hello->request != now.number) {
		/* An old poke, or an abort came first. */
		service->owner = &leaving;
		service_say(service, SERVICE_ABORT, NULL, 0);
		return;
	}
	if (!part_find(service->pid)) {
		members_scan();
		parts_gather();
	}
	p = part_find(service->pid);
	if (!p || p->state != PART_WAITING || p->service) {
		log_line("process %d is unknown or came twice", service->pid);
		service_close(service);
		return;
	}
	p->service = service;
	service->data = p;
	service->owner = &part_owner;
	p->state = PART_BEGUN;
	ret = part_begin(p);
	if (ret < 0)
		fail(p, ret, "process %d (%s): %s", p->pid, p->program,
		     now.generation.why[0] ? now.generation.why
					   : "cannot begin");
}

void checkpoint_member_died(struct member *m)
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
		advance();
		return;
	}
	if (had == PART_WAITING && now.state == RUNNING &&
	    now.phase == PHASE_STOP) {
		/* It ended by itself before it was asked: no part of it. */
		while (*at != p)
			at = &(*at)->next;
		*at = p->next;
		free(p);
		if (!now.parts)
			fail(NULL, -ESRCH, "the last process has ended");
		return;
	}
	service_close(p->service);
	p->service = NULL;
	p->state = PART_RELEASED;
	part_gone(p);
	if (now.state == ENDING)
		undo();
}

/* ---- the other phases ---- */

static void parts_tell(enum service_type type, enum part_state next)
{
	for (struct part *p = now.parts; p && now.state == RUNNING;
	     p = p->next) {
		int ret = p->service ? service_say(p->service, type, NULL, 0)
				     : -ECONNRESET;

		p->state = next;
		if (ret < 0)
			fail(p, ret, "process %d (%s)", p->pid, p->program);
	}
}

static void capture_begin(void)
{
	deadline_set(now.capture_ms);
	parts_tell(SERVICE_CAPTURE, PART_CAPTURING);
}

static void snapshot_begin(void)
{
	deadline_set(now.capture_ms);
	parts_tell(SERVICE_SNAPSHOT, PART_SNAPSHOTTING);
}

static void release_begin(void)
{
	if (now.hold) { /* everybody stays parked until the commit */
		advance();
		return;
	}
	now.deadline.fire = release_late;
	loop_timer_set(&now.deadline, RELEASE_MS);
	/* Before anybody can be poked by it again. */
	request_clear();
	for (struct part *p = now.parts; p; p = p->next) {
		p->state = p->service ? PART_RELEASING : PART_RELEASED;
		if (p->service)
			service_say(p->service, SERVICE_RELEASE, NULL, 0);
	}
	advance();
}

static void progress_tell(struct loop_timer *timer)
{
	uint64_t raw = 0, stored = 0, total = 0;

	for (struct part *p = now.parts; p; p = p->next) {
		raw += p->raw;
		stored += p->stored;
		total += p->bytes;
	}
	if (raw != now.told)
		uplink_say(WIRE_PROGRESS,
			   json_pack("{s:I, s:I, s:I, s:I}", "request",
				     now.request, "raw", (json_int_t)raw,
				     "stored", (json_int_t)stored, "total",
				     (json_int_t)total));
	now.told = raw;
	loop_timer_set(timer, PROGRESS_MS);
}

static json_t *images_report(void)
{
	json_t *list = json_array();
	char hash[17];

	for (struct part *p = now.parts; p; p = p->next) {
		snprintf(hash, sizeof(hash), "%016llx",
			 (unsigned long long)p->written.header_hash);
		json_array_append_new(
			list,
			json_pack("{s:i, s:i, s:o, s:s, s:s, s:I, s:I, s:I, "
				  "s:I, s:i}",
				  "pid", (int)p->pid, "ppid", (int)p->ppid,
				  "program", wire_text(p->program), "file",
				  p->image_name, "header_hash", hash, "raw",
				  (json_int_t)p->written.raw, "stored",
				  (json_int_t)p->written.stored, "bytes",
				  (json_int_t)p->written.file_size, "write_ns",
				  (json_int_t)p->written.write_ns, "threads",
				  (int)p->threads));
	}
	return list;
}

static json_t *files_report(void)
{
	json_t *list = json_array();

	for (struct store_file *file = now.files; file; file = file->next) {
		json_array_append_new(
			list, json_pack("{s:I, s:I, s:I, s:I, s:s, s:o, s:b}",
					"dev", (json_int_t)file->dev, "ino",
					(json_int_t)file->ino, "size",
					(json_int_t)file->size, "mtime",
					(json_int_t)file->mtime, "hash",
					file->name, "path",
					wire_text(file->path), "changed",
					file->changed));
		if (file->changed)
			warn("%s changed while it was copied; the checkpoint "
			     "has a later content",
			     file->path);
	}
	return list;
}

/* Of this host; for people, and for a refusal that says more than "no". */
static json_t *facts(void)
{
	char line[4096], *value, cpu[128] = "", features[4096] = "";
	struct utsname name;
	FILE *file = fopen("/proc/cpuinfo", "re");

	uname(&name);
	while (file && fgets(line, sizeof(line), file) && line[0] != '\n') {
		value = strchr(line, ':');
		if (!value)
			continue;
		value += value[1] == ' ' ? 2 : 1;
		value[strcspn(value, "\n")] = 0;
		if (strncmp(line, "model name", 10) == 0)
			snprintf(cpu, sizeof(cpu), "%s", value);
		else if (strncmp(line, "flags", 5) == 0)
			snprintf(features, sizeof(features), "%s", value);
	}
	if (file)
		fclose(file);
	return json_pack("{s:o, s:o, s:o, s:i}", "kernel",
			 wire_text(name.release), "cpu", wire_text(cpu),
			 "features", wire_text(features), "page_size",
			 (int)sysconf(_SC_PAGESIZE));
}

static void saved_run(struct worker_job *job)
{
	(void)job;
	store_save();
}

static void saved_done(struct worker_job *job)
{
	json_t *images, *files;
	json_int_t raw = 0, stored = 0, size = 0;

	(void)job;
	now.job_busy = 0;
	if (now.state != RUNNING) {
		undo();
		return;
	}
	loop_timer_stop(&now.progress);
	progress_tell(&now.progress);
	loop_timer_stop(&now.progress);
	for (struct part *p = now.parts; p; p = p->next) {
		raw += (json_int_t)p->written.raw;
		stored += (json_int_t)p->written.stored;
		size += (json_int_t)p->written.file_size;
	}
	now.phase_done = 1;
	images = images_report();
	files = files_report();
	say_done("write", json_pack("{s:o, s:o, s:O, s:o, s:I, s:I, s:I}",
				    "images", images, "files", files,
				    "warnings", now.warnings, "facts", facts(),
				    "raw", raw, "stored", stored, "size",
				    size));
}

static void write_begin(void)
{
	now.phase = PHASE_WRITE;
	now.phase_done = 0;
	now.phase_began = loop_now();
	loop_timer_stop(&now.deadline);
	now.progress.fire = progress_tell;
	loop_timer_set(&now.progress, PROGRESS_MS);
	files_keep();
	advance();
}

static void commit_run(struct worker_job *job)
{
	(void)job;
	now.job_result = 0;
	for (struct part *p = now.parts; p && now.job_result == 0; p = p->next)
		now.job_result = generation_image_check(
			&now.generation, p->image_name, p->written.header_hash);
	if (now.job_result == 0 && now.manifest)
		now.job_result = generation_commit(&now.generation,
						   now.manifest, now.keep,
						   now.warnings);
}

static void commit_done(struct worker_job *job)
{
	json_int_t request = now.request;

	(void)job;
	now.job_busy = 0;
	if (now.job_result < 0) {
		fail(NULL, now.job_result, "%s", now.generation.why);
		return;
	}
	log_line("checkpoint %lld: %s", (long long)request,
		  now.manifest ? "committed" : "done");
	if (now.hold)
		members_kill();
	say_done("commit", json_pack("{s:O}", "warnings", now.warnings));
	finish();
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
	json_int_t threads = 0, park_ns = 0, count = 0;

	for (struct part *p = now.parts; p; p = p->next) {
		count++;
		threads += p->threads;
		if ((json_int_t)p->park_ns > park_ns)
			park_ns = (json_int_t)p->park_ns;
	}
	say_done("stop", json_pack("{s:I, s:I, s:I}", "processes", count,
				   "threads", threads, "park_ns", park_ns));
}

static void capture_done(void)
{
	json_int_t bytes = 0;

	for (struct part *p = now.parts; p; p = p->next)
		bytes += (json_int_t)p->bytes;
	say_done("capture", json_pack("{s:I}", "bytes", bytes));
}

static void release_done(void)
{
	json_int_t stopped_ns = 0;

	for (struct part *p = now.parts; p; p = p->next)
		if ((json_int_t)p->stopped_ns > stopped_ns)
			stopped_ns = (json_int_t)p->stopped_ns;
	say_done("release", json_pack("{s:I}", "stopped_ns", stopped_ns));
	write_begin();
}

static int all_written(void)
{
	for (struct part *p = now.parts; p; p = p->next)
		if (p->writer_state != WRITER_SAFE)
			return 0;
	return now.copying == 0;
}

/* Called whenever anything has come nearer to its end. */
static void advance(void)
{
	if (now.state == ENDING)
		undo();
	if (now.state != RUNNING || now.phase_done)
		return;
	switch (now.phase) {
	case PHASE_STOP:
		if (!parts_all(PART_PARKED) || parts_gather() ||
		    now.state != RUNNING)
			return; /* the tick goes on */
		loop_timer_stop(&now.tick);
		loop_timer_stop(&now.deadline);
		now.phase_done = 1;
		stop_done();
		break;
	case PHASE_CAPTURE:
		if (!parts_all(PART_CAPTURED) || now.copying > 0)
			return;
		loop_timer_stop(&now.deadline);
		now.phase_done = 1;
		capture_done();
		break;
	case PHASE_SNAPSHOT:
		if (!parts_all(PART_SNAPSHOTTED))
			return;
		loop_timer_stop(&now.deadline);
		now.phase_done = 1;
		say_done("snapshot", json_object());
		break;
	case PHASE_RELEASE:
		if (!now.hold && !parts_all(PART_RELEASED))
			return;
		release_done();
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

void checkpoint_phase(enum wire_phase phase, const json_t *body)
{
	if (now.state != RUNNING || wire_int(body, "request", 0) != now.request)
		return; /* it will hear, or has heard, that we failed */
	if (phase != now.phase + 1 || !now.phase_done) {
		fail(NULL, -EPROTO, "the coordinator asked for %s in phase %s",
		     phase_name(phase), phase_name(now.phase));
		return;
	}
	now.phase = phase;
	now.phase_done = 0;
	now.phase_began = loop_now();
	if ((phase == PHASE_RELEASE || phase == PHASE_COMMIT) && fault_here())
		return;
	switch (phase) {
	case PHASE_STOP:
		stop_begin();
		break;
	case PHASE_CAPTURE:
		capture_begin();
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
		uplink_say(WIRE_DONE,
			   json_pack("{s:I, s:s}", "request", request, "phase",
				     "abort"));
		return;
	}
	now.abort_asked = 1;
	if (now.state == ENDING) {
		if (now.undone)
			undo_answer();
		return;
	}
	/* Past the point of no return: DONE or FAILED comes soon. */
	if (now.phase == PHASE_COMMIT && now.job_busy)
		return;
	log_line("checkpoint %lld is aborted: %s", (long long)now.request,
		  wire_string(body, "reason", "no reason given"));
	end_begin();
}

void checkpoint_orphaned(void)
{
	if (now.state == RUNNING &&
	    !(now.phase == PHASE_COMMIT && now.job_busy)) {
		log_line("checkpoint %lld is aborted: the coordinator is gone",
			  (long long)now.request);
		end_begin();
	} else if (now.state == ENDING && now.undone) {
		finish();
	}
}
