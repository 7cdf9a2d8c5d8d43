/* SPDX-License-Identifier: MIT */
/*
 * The phases of a checkpoint. Each phase of phases.def is one round: its
 * message goes to every host group, and the next one begins when all have
 * answered (WRITE needs no message, COMMIT goes to the group that writes the
 * manifest before the others). Until the manifest is in place all of it can
 * be taken back, and is, when anything fails: see abort_with().
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "coordinator/coordinator.h"
#include "util/log.h"

#define GRACE_MS 10000 /* an agent's own deadline comes first: it knows more */
#define SHORT_MS 30000
#define ABORT_MS 30000
#define AGAIN_TRIES 6 /* about a second in all */
#define READER_TRIES 10 /* about sixteen: somebody has a lot to read first */
#define AGAIN_MS 16

static struct {
	enum wire_phase phase;
	int aborting;
	int request; /* number of this checkpoint, never used again */
	int generation;
	char path[PATH_MAX];
	int hold;
	enum wire_phase fault_phase;
	int fault_error;
	int sync;
	int again;   /* what failed may pass: tries that it is worth */
	int tries;   /* so far */
	int waiting; /* until the next one; in PHASE_PREPARE, nobody takes part */
	int groups; /* that take part */
	struct group *leader; /* writes the manifest */
	int led;	      /* ... and has done it */
	json_t *manifest;
	/* As they were at the commit: with -kc groups leave one by one then. */
	struct checkpoint_figures figures;
	json_t *warned;
	int64_t started, stopped, deadline, patience;
	int64_t began[PHASE_COUNT]; /* each phase, ns; 0: not yet */
	char reason[1024];
} now = {.deadline = NEVER};

static const struct {
	enum wire_type message; /* WIRE_NONE: it follows from the one before */
} rounds[PHASE_COUNT] = {
	[PHASE_PREPARE] = {WIRE_PREPARE}, [PHASE_STOP] = {WIRE_STOP},
	[PHASE_CAPTURE] = {WIRE_CAPTURE}, [PHASE_SNAPSHOT] = {WIRE_SNAPSHOT},
	[PHASE_RELEASE] = {WIRE_RELEASE}, [PHASE_WRITE] = {WIRE_NONE},
	[PHASE_COMMIT] = {WIRE_COMMIT},
};

enum wire_phase checkpoint_phase(void)
{
	return now.phase;
}

int checkpoint_aborting(void)
{
	return now.aborting;
}

/* ---- figures ---- */

static int64_t sum(enum wire_phase phase, const char *key)
{
	struct group *g;
	int64_t all = 0;

	for (g = groups_first(); g; g = g->next)
		all += wire_int(g->figures[phase], key, 0);
	return all;
}

static int64_t most(enum wire_phase phase, const char *key)
{
	struct group *g;
	int64_t highest = 0, value;

	for (g = groups_first(); g; g = g->next) {
		value = wire_int(g->figures[phase], key, 0);
		if (value > highest)
			highest = value;
	}
	return highest;
}

static struct checkpoint_figures figures(void)
{
	struct checkpoint_figures f = {
		.generation = now.generation,
		.processes = sum(PHASE_STOP, "processes"),
		.bytes = sum(PHASE_CAPTURE, "bytes"),
		.raw = sum(PHASE_WRITE, "raw"),
		.stored = sum(PHASE_WRITE, "stored"),
		.stop_ms = most(PHASE_RELEASE, "stopped_ns") / 1e6,
		.total_ms = loop_now() - now.started,
		.hold = now.hold,
	};

	if (!f.processes)
		f.processes = sum(PHASE_PREPARE, "processes");
	if (now.hold || !f.stop_ms)
		f.stop_ms = loop_now() - now.stopped;
	return f;
}

static void tell_progress(void)
{
	struct group *g;
	int64_t raw = 0, stored = 0, total = 0;
	json_t *body;

	for (g = groups_first(); g; g = g->next) {
		raw += g->raw;
		stored += g->stored;
		total += g->total;
	}
	body = json_pack("{s:s, s:i, s:I, s:I, s:I, s:I}", "phase",
			 now.aborting ? "abort" : phase_name(now.phase),
			 "generation", now.generation, "raw", (json_int_t)raw,
			 "stored", (json_int_t)stored, "total",
			 (json_int_t)total, "elapsed_ms",
			 (json_int_t)(loop_now() - now.started));
	clients_progress(body);
	json_decref(body);
}

/* ---- the end ---- */

static void forget(void)
{
	struct group *g;

	for (g = groups_first(); g; g = g->next) {
		g->taking_part = g->done = g->written = 0;
		g->raw = g->stored = g->total = 0;
		for (int i = 0; i < PHASE_COUNT; i++) {
			json_decref(g->figures[i]);
			g->figures[i] = NULL;
		}
	}
	now.phase = PHASE_IDLE;
	now.aborting = now.waiting = 0;
	interval_restart();
	now.deadline = NEVER;
	now.leader = NULL;
	json_decref(now.manifest);
	json_decref(now.warned);
	now.manifest = now.warned = NULL;
}

static void size_text(char *text, size_t size, int64_t bytes)
{
	static const char *const units[] = {"bytes", "KiB", "MiB", "GiB",
					    "TiB"};
	double value = bytes;
	int unit = 0;

	while (value >= 1024 && unit < 4) {
		value /= 1024;
		unit++;
	}
	snprintf(text, size, unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
}

static json_t *warnings(void)
{
	json_t *all = json_array();
	struct group *g;

	for (g = groups_first(); g; g = g->next)
		json_array_extend(all, json_object_get(g->figures[PHASE_WRITE],
						       "warnings"));
	return all;
}

static int64_t clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

/* How long each phase took, in ms. */
static json_t *phases(void)
{
	json_t *all = json_object();
	int64_t end = clock_ns();
	int i;

	for (i = PHASE_COUNT - 1; i > PHASE_IDLE; i--) {
		if (!now.began[i])
			continue;
		json_object_set_new(all, phase_name(i),
				    json_real((end - now.began[i]) / 1e6));
		end = now.began[i];
	}
	return all;
}

static void succeed(void)
{
	struct checkpoint_figures f = now.figures;
	json_t *warning, *data;
	char raw[32], stored[32], text[PATH_MAX + 512];
	size_t i, length;

	f.total_ms = loop_now() - now.started;
	if (now.hold)
		f.stop_ms = loop_now() - now.stopped;
	size_text(raw, sizeof(raw), f.raw);
	size_text(stored, sizeof(stored), f.stored);
	length = snprintf(text, sizeof(text),
			  "generation %d: %lld process%s, %s in %s (%.0f %%), "
			  "stopped %.1f ms, total %.2f s, %s\n",
			  f.generation, (long long)f.processes,
			  f.processes == 1 ? "" : "es", raw, stored,
			  f.raw ? 100.0 * f.stored / f.raw : 100.0, f.stop_ms,
			  f.total_ms / 1000, now.path);
	json_array_foreach (now.warned, i, warning)
		if (length < sizeof(text))
			length += snprintf(text + length, sizeof(text) - length,
					   "note: %s\n",
					   json_string_value(warning));
	data = json_pack("{s:b, s:i, s:I, s:I, s:I, s:f, s:f, s:f, s:o, s:o, "
			 "s:O}",
			 "ok", 1, "generation", f.generation, "processes",
			 (json_int_t)f.processes, "bytes", (json_int_t)f.raw,
			 "stored", (json_int_t)f.stored, "compression",
			 f.raw ? (double)f.stored / f.raw : 1.0, "stop_ms",
			 f.stop_ms, "total_ms", f.total_ms, "phases_ms",
			 phases(), "directory",
			 wire_text(now.path), "warnings", now.warned);
	log_line("%.*s", (int)strcspn(text, "\n"), text);
	computation.generation = now.generation;
	forget();
	clients_checkpoint_over(1, data, text);
	json_decref(data);
	computation_changed();
}

static void forget_and_wait(void)
{
	forget();
	now.again = 0;
	now.path[0] = '\0';
	now.phase = PHASE_PREPARE;
	now.waiting = 1;
	now.deadline = loop_now() + (AGAIN_MS << now.tries++);
}

static void failed(void)
{
	char text[sizeof(now.reason) + 64];
	json_t *data;

	/* Agents remove what they made; what a dead one left is ours to. A
	 * commit that our abort came too late for stays: older ones may have
	 * been pruned for it. */
	if (now.path[0] && !generation_committed(now.path))
		generation_remove(now.path);
	if (now.tries < now.again) {
		forget_and_wait();
		return;
	}
	snprintf(text, sizeof(text), "checkpoint failed: %s\n", now.reason);
	data = json_pack("{s:b, s:o}", "ok", 0, "error", wire_text(now.reason));
	forget();
	clients_checkpoint_over(0, data, text);
	json_decref(data);
	computation_changed();
}

/* All who take part and can still be reached have answered. */
static int all_done(void)
{
	struct group *g;

	for (g = groups_first(); g; g = g->next)
		if (g->taking_part && g->connection && !g->done)
			return 0;
	return 1;
}

static void abort_if_all_back(void)
{
	if (all_done())
		failed();
}

__attribute__((format(printf, 1, 2))) static void abort_with(const char *format,
							     ...)
{
	struct group *g;
	va_list args;

	if (now.aborting)
		return;
	va_start(args, format);
	vsnprintf(now.reason, sizeof(now.reason), format, args);
	va_end(args);
	log_line("checkpoint %d aborted in phase %s: %s", now.generation,
		 phase_name(now.phase), now.reason);
	now.aborting = 1;
	now.deadline = loop_now() + ABORT_MS;
	tell_progress();
	for (g = groups_first(); g; g = g->next) {
		g->done = 0;
		if (g->taking_part && g->connection)
			connection_send(g->connection, WIRE_ABORT,
					json_pack("{s:i, s:o}", "request",
						  now.request, "reason",
						  wire_text(now.reason)));
	}
	abort_if_all_back();
}

/* ---- the phases ---- */

static int64_t patience_of(enum wire_phase phase)
{
	switch (phase) {
	case PHASE_STOP:
		return settings.stop_ms + GRACE_MS;
	case PHASE_CAPTURE:
		return settings.capture_ms + GRACE_MS;
	case PHASE_SNAPSHOT: /* --sync writes here */
	case PHASE_WRITE:
	case PHASE_COMMIT:
		return settings.write_ms;
	default:
		return SHORT_MS;
	}
}

static json_t *prepare_body(int place)
{
	json_t *body = json_pack(
		"{s:i, s:i, s:i, s:i, s:o, s:o, s:o, s:b, s:i, s:o, s:i, s:i, "
		"s:i, s:b}",
		"request", now.request, "group", place, "groups", now.groups, "generation", now.generation, "dir",
		wire_text(computation.folder), "generation_dir",
		wire_text(now.path), "compress",
		wire_text(wire_string(computation.options, "compress", "auto")),
		"sync", now.sync, "threads",
		(int)wire_int(computation.options, "threads", 0), "files",
		wire_text(
			wire_string(computation.options, "files", "rollback")),
		"keep", (int)wire_int(computation.options, "keep", 2),
		"stop_ms", settings.stop_ms, "capture_ms", settings.capture_ms,
		"hold", now.hold);

	if (now.fault_phase)
		json_object_set_new(body, "fault",
				    json_pack("{s:s, s:i}", "phase",
					      phase_name(now.fault_phase),
					      "error", now.fault_error));
	if (now.tries)
		json_object_set_new(body, "tries", json_integer(now.tries));
	if (wire_bool(computation.options, "ignore_foreign", 0))
		json_object_set_new(body, "ignore_foreign", json_true());
	return body;
}

/* Takes over the manifest. */
static void send_commit(struct group *group, json_t *manifest)
{
	connection_send(group->connection, WIRE_COMMIT,
			json_pack("{s:i, s:o}", "request", now.request,
				  "manifest", manifest));
}

static void commit_begin(void)
{
	struct group *g;

	for (g = groups_first(); g && !g->taking_part;)
		g = g->next;
	now.leader = g;
	now.led = 0;
	now.figures = figures();
	now.warned = warnings();
	now.manifest = manifest_make(&now.figures, computation.options);
	send_commit(g, json_incref(now.manifest));
}

/* The manifest is in place: from here on it has happened. */
static void commit_rest(void)
{
	struct group *g;

	now.led = 1;
	for (g = groups_first(); g; g = g->next)
		if (g->taking_part && g != now.leader && g->connection)
			send_commit(g, manifest_part(now.manifest, g, g->place));
}

/* Of each group's connections to others the other ends. */
static struct match *match_remotes(void)
{
	struct match *match = match_new();
	struct group *g;

	for (g = groups_first(); g; g = g->next)
		match_add(match, g->place,
			  json_object_get(g->figures[PHASE_STOP], "remotes"));
	return match;
}

static json_t *capture_body(const struct match *match, const struct group *g)
{
	const json_t *ends = json_object_get(g->figures[PHASE_STOP], "remotes");
	json_t *answers = json_array(), *end;
	struct match_answer a;
	size_t i;

	json_array_foreach (ends, i, end)
		json_array_append_new(
			answers, match_find(match, end, &a)
					 ? json_pack("[I, i, i, O]", a.pair,
						     a.side, a.group, a.says)
					 : json_null());
	return json_pack("{s:i, s:o}", "request", now.request, "remotes",
			 answers);
}

static void capture_begin(void)
{
	struct match *match = match_remotes();
	struct group *g;

	for (g = groups_first(); g; g = g->next)
		if (g->taking_part)
			connection_send(g->connection, WIRE_CAPTURE,
					capture_body(match, g));
	match_free(match);
}

static void phase_begin(enum wire_phase phase)
{
	struct group *g;

	now.phase = phase;
	now.began[phase] = clock_ns();
	now.patience = patience_of(phase);
	now.deadline = loop_now() + now.patience;
	if (phase == PHASE_STOP)
		now.stopped = loop_now();
	for (g = groups_first(); g; g = g->next)
		g->done = phase == PHASE_WRITE ? g->written : 0;
	tell_progress();
	if (phase == PHASE_COMMIT) {
		commit_begin();
		return;
	}
	if (phase == PHASE_CAPTURE) {
		capture_begin();
		return;
	}
	if (rounds[phase].message == WIRE_NONE)
		return;
	for (g = groups_first(); g; g = g->next)
		if (g->taking_part)
			connection_send(g->connection, rounds[phase].message,
					phase == PHASE_PREPARE
						? prepare_body(g->place)
						: json_pack("{s:i}", "request",
							    now.request));
}

/* An answer has come: go on when it was the last. */
static void phase_look(void)
{
	while (now.phase != PHASE_IDLE && !now.aborting) {
		if (now.phase == PHASE_COMMIT && !now.led && now.leader->done)
			commit_rest();
		if (!all_done())
			return;
		if (now.phase == PHASE_COMMIT) {
			succeed();
			return;
		}
		if (now.phase == PHASE_PREPARE &&
		    !sum(PHASE_PREPARE, "processes")) {
			abort_with("there is no process to checkpoint");
			return;
		}
		phase_begin(now.phase + 1);
		if (now.phase != PHASE_WRITE)
			return;
	}
}

/* ---- what agents say ---- */

static enum wire_phase phase_of(const json_t *body)
{
	const char *name = wire_string(body, "phase", "");

	for (int i = PHASE_IDLE + 1; i < PHASE_COUNT; i++)
		if (!strcmp(phase_name(i), name))
			return i;
	return PHASE_IDLE;
}

/* 0: it is about a checkpoint that is no longer ours. */
static int is_current(const struct group *group, const json_t *body)
{
	return now.phase != PHASE_IDLE && group->taking_part &&
	       wire_int(body, "request", -1) == now.request;
}

void agent_done(struct connection *connection, json_t *body)
{
	struct group *group = connection->group;
	enum wire_phase phase = phase_of(body);

	if (!is_current(group, body))
		return;
	if (now.aborting) {
		if (!strcmp(wire_string(body, "phase", ""), "abort")) {
			group->done = 1;
			abort_if_all_back();
		}
		return;
	}
	/* Writing may end while others are still being released, and with -kc
	 * nothing is released before. */
	if (phase == PHASE_WRITE && now.phase >= PHASE_RELEASE &&
	    now.phase <= PHASE_WRITE) {
		group->written = 1;
		if (now.phase == PHASE_WRITE || now.hold)
			group->done = 1;
	} else if (phase == now.phase) {
		group->done = 1;
	} else {
		connection_drop(connection, "DONE for phase %s during %s",
				wire_string(body, "phase", "?"),
				phase_name(now.phase));
		return;
	}
	json_decref(group->figures[phase]);
	group->figures[phase] = json_incref(body);
	phase_look();
}

void agent_failed(struct connection *connection, json_t *body)
{
	struct group *group = connection->group;
	const char *program = wire_string(body, "program", "");
	const char *text = wire_string(body, "text", "");
	int pid = wire_int(body, "pid", 0);
	int error = wire_int(body, "error", 0);
	char who[448] = "", pid_text[16];

	if (!is_current(group, body) || now.aborting)
		return;
	if (now.phase == PHASE_COMMIT && now.led) {
		/* Too late to be undone, and nothing is lost. */
		log_line("%s/%lu after the commit: %s", group->host,
			 group->number, text);
		group->done = 1;
		phase_look();
		return;
	}
	if (groups_count() > 1)
		snprintf(who, sizeof(who), "%s: ", group_name(group));
	snprintf(pid_text, sizeof(pid_text), "%d", pid);
	if (pid > 0 && !strstr(text, pid_text)) /* the agent says it mostly */
		snprintf(who + strlen(who), sizeof(who) - strlen(who),
			 "%.64s (pid %d): ", *program ? program : "process",
			 pid);
	if (!*text)
		text = error ? strerror(abs(error)) : "no reason given";
	/* A process is in a state that ends by itself, once it runs. */
	now.again = now.phase == PHASE_CAPTURE && abs(error) == EBUSY ?
			    AGAIN_TRIES :
		    now.phase == PHASE_CAPTURE && abs(error) == ENOBUFS ?
			    READER_TRIES :
			    0;
	abort_with("phase %s: %s%s",
		   wire_string(body, "phase", phase_name(now.phase)), who,
		   text);
}

void agent_progress(struct connection *connection, json_t *body)
{
	struct group *group = connection->group;

	if (!is_current(group, body) || now.aborting)
		return;
	if (wire_int(body, "raw", 0) > group->raw ||
	    wire_int(body, "stored", 0) > group->stored)
		now.deadline = loop_now() + now.patience;
	group->raw = wire_int(body, "raw", group->raw);
	group->stored = wire_int(body, "stored", group->stored);
	group->total = wire_int(body, "total", group->total);
	tell_progress();
}

static void participant_gone(struct group *group, const char *how)
{
	if (now.phase == PHASE_IDLE || !group->taking_part)
		return;
	group->taking_part = 0;
	if (now.aborting) {
		abort_if_all_back();
		return;
	}
	if (now.phase == PHASE_COMMIT &&
	    (now.led || group->done || generation_committed(now.path))) {
		/* The manifest is there, or somebody else writes it. */
		group->done = 1;
		if (group == now.leader && !now.led)
			commit_rest();
		phase_look();
		return;
	}
	abort_with("%s", how);
}

void checkpoint_group_lost(struct group *group)
{
	char how[512];

	snprintf(how, sizeof(how), "the agent on %s was lost in phase %s",
		 group_name(group), phase_name(now.phase));
	participant_gone(group, how);
}

void checkpoint_group_left(struct group *group)
{
	char how[400];

	snprintf(how, sizeof(how), "the last process on %s has ended",
		 group_name(group));
	participant_gone(group, how);
	if (now.leader == group)
		now.leader = NULL;
}

void checkpoint_give_up(const char *why)
{
	if (now.phase == PHASE_IDLE)
		return;
	if (now.phase == PHASE_COMMIT && generation_committed(now.path))
		return;
	abort_with("%s", why);
	if (now.phase != PHASE_IDLE)
		failed(); /* nobody is waited for any more */
}

/* ---- beginning ---- */

/* "write:ENOSPC", "stop:5" */
static int parse_fault(const char *text)
{
	const char *colon = strchr(text, ':');
	char *end;

	now.fault_phase = PHASE_IDLE;
	if (!colon)
		return -EINVAL;
	for (int i = PHASE_IDLE + 1; i < PHASE_COUNT; i++)
		if (strlen(phase_name(i)) == (size_t)(colon - text) &&
		    !strncmp(text, phase_name(i), colon - text))
			now.fault_phase = i;
	now.fault_error = strtol(colon + 1, &end, 10);
	if (end == colon + 1 || *end)
		for (int i = now.fault_error = 0; i < 200; i++)
			if (strerrorname_np(i) &&
			    !strcmp(strerrorname_np(i), colon + 1))
				now.fault_error = i;
	return now.fault_phase && now.fault_error > 0 ? 0 : -EINVAL;
}

int checkpoint_possible(char *err, size_t errsize)
{
	struct group *g;

	if (!computation_exists()) {
		snprintf(err, errsize, "no program is running here");
		return -ESRCH;
	}
	if (now.phase != PHASE_IDLE) {
		snprintf(err, errsize, "a checkpoint is under way");
		return -EBUSY;
	}
	if (computation.restoring) {
		snprintf(err, errsize, "a restart is under way");
		return -EAGAIN;
	}
	for (g = groups_first(); g; g = g->next) {
		if (!g->connection) {
			snprintf(err, errsize,
				 "the agent on %s does not "
				 "answer",
				 group_name(g));
			return -EAGAIN;
		}
		if (!g->restored) {
			snprintf(err, errsize, "a restart is under way");
			return -EAGAIN;
		}
	}
	if (!groups_count()) {
		snprintf(err, errsize, "no agent has registered");
		return -EAGAIN;
	}
	if (computation.lost[0]) {
		snprintf(err, errsize,
			 "%s was lost and would be missing in it: kill the "
			 "rest and restart, or go on without it "
			 "(ckpt_command -c --without-lost)",
			 computation.lost);
		return -EHOSTDOWN;
	}
	if (clients_holding()) {
		snprintf(err, errsize,
			 "a program is just being started on another host");
		return -EAGAIN;
	}
	if (computation_misses_groups()) {
		snprintf(err, errsize,
			 "the agents of %d more hosts are on their way",
			 computation_misses_groups());
		return -EAGAIN;
	}
	return 0;
}

static int next_request(void)
{
	static int last;
	struct timespec real;
	int seconds;

	/* Higher than any of a coordinator before us, which we cannot know. */
	clock_gettime(CLOCK_REALTIME, &real);
	seconds = real.tv_sec & 0x3fffffff;
	last = last < seconds ? seconds : last + 1;
	return last;
}

static int begin(char *err, size_t errsize)
{
	struct group *g;
	int ret = generation_make(now.path, sizeof(now.path), err, errsize);
	int place = 0;

	if (ret < 0)
		return ret;
	now.generation = ret;
	now.request = next_request();
	now.again = now.aborting = 0;
	now.started = now.stopped = loop_now();
	memset(now.began, 0, sizeof(now.began));
	now.reason[0] = '\0';
	now.groups = groups_count();
	for (g = groups_first(); g; g = g->next) {
		g->taking_part = 1;
		g->place = place++;
	}
	log_line("checkpoint: generation %d in %s", now.generation, now.path);
	phase_begin(PHASE_PREPARE);
	return 0;
}

static void begin_again(void)
{
	char err[512];
	int ret;

	now.phase = PHASE_IDLE;
	now.waiting = 0;
	ret = checkpoint_possible(err, sizeof(err));
	if (ret == 0)
		ret = begin(err, sizeof(err));
	if (ret == 0)
		return;
	snprintf(now.reason, sizeof(now.reason), "%s", err);
	failed();
}

int checkpoint_start(const struct checkpoint_request *request, char *err,
		     size_t errsize)
{
	int ret = checkpoint_possible(err, errsize);

	if (ret < 0)
		return ret;
	now.tries = 0;
	now.fault_phase = PHASE_IDLE;
	if (request->fault && parse_fault(request->fault) < 0) {
		snprintf(err, errsize,
			 "CKPT_FAULT=%s is not PHASE:ERROR, such "
			 "as write:ENOSPC",
			 request->fault);
		return -EINVAL;
	}
	now.hold = request->hold;
	now.sync = wire_bool(computation.options, "sync", 0);
	return begin(err, errsize);
}

/* ---- deadlines ---- */

int64_t checkpoint_deadline(void)
{
	return now.phase == PHASE_IDLE ? NEVER : now.deadline;
}

void checkpoint_expired(int64_t time)
{
	struct group *g;
	const char *late = "an agent";

	(void)time;
	if (now.waiting) {
		begin_again();
		return;
	}
	for (g = groups_first(); g; g = g->next)
		if (g->taking_part && !g->done)
			late = group_name(g);
	if (now.aborting) {
		log_line("the agent on %s does not answer to the abort", late);
		failed();
		return;
	}
	if (now.phase == PHASE_COMMIT && now.led) {
		succeed();
		return;
	}
	abort_with("phase %s: the agent on %s has not answered for %lld s",
		   phase_name(now.phase), late, (long long)now.patience / 1000);
}
