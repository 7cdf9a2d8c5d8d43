/* SPDX-License-Identifier: MIT */
/*
 * The computation: it begins with the first program launched (or restarted),
 * and is over when its last process has left. The next one gets a new id, so
 * that its checkpoints go to a folder of their own.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "coordinator/coordinator.h"
#include "util/log.h"
#include "util/runtime.h"

#define TAKE_UP_SECONDS 8 /* agents dial again within three */

struct computation computation = {
	.lock_fd = -1, .deadline = NEVER, .had_until = NEVER};

static int quit_when_over;

static void new_id(void)
{
	unsigned char random[8];

	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		abort(); /* the kernel always has eight bytes */
	for (size_t i = 0; i < sizeof(random); i++)
		sprintf(computation.id + 2 * i, "%02x", random[i]);
}

/* The program's name as part of a folder's: nothing that a shell or a path
 * takes amiss. */
static void set_name(const char *program)
{
	const char *base = strrchr(program, '/');
	char *to = computation.name;

	for (base = base ? base + 1 : program;
	     *base && to < computation.name + sizeof(computation.name) - 1;
	     base++)
		*to++ = isalnum((unsigned char)*base) || strchr("._+", *base)
				? *base
				: '_';
	*to = '\0';
	if (!computation.name[0] || computation.name[0] == '.')
		computation.name[0] = '_', computation.name[1] = '\0';
}

static void set_folder(void)
{
	snprintf(computation.folder, sizeof(computation.folder),
		 "%s/ckpt-%s-%s", computation.dir, computation.name,
		 computation.id);
}

static void set_options(const json_t *options)
{
	json_decref(computation.options);
	computation.options = json_is_object(options) ? json_deep_copy(options)
						      : json_object();
}

int computation_exists(void)
{
	return computation.id[0] != '\0';
}

void computation_begin(const char *program, const char *dir, int interval,
		       const json_t *options)
{
	new_id();
	set_name(program);
	snprintf(computation.dir, sizeof(computation.dir), "%s", dir);
	set_folder();
	set_options(options);
	computation.generation = 0;
	computation.restoring = 0;
	computation.lost[0] = '\0';
	interval_set(interval > 0 ? interval : settings.interval);
	log_line("computation %s (%s) begins; checkpoints go to %s",
		 computation.id, computation.name, computation.dir);
}

int computation_continue(const char *id, const char *name, const char *dir,
			 int generation, const json_t *options)
{
	char err[512];
	int ret = 0;

	snprintf(computation.id, sizeof(computation.id), "%s", id);
	set_name(name);
	snprintf(computation.dir, sizeof(computation.dir), "%s", dir);
	set_folder();
	set_options(options);
	computation.generation = generation;
	computation.restoring = 0;
	computation.lost[0] = '\0';
	if (access(computation.folder, F_OK) == 0)
		ret = folder_open(err, sizeof(err));
	if (ret == -EBUSY) {
		/* Another copy of it goes on there. */
		new_id();
		set_folder();
		computation.generation = 0;
	} else if (ret < 0) {
		log_line("%s", err);
	}
	log_line("computation %s (%s) goes on; checkpoints go to %s",
		 computation.id, computation.name, computation.dir);
	return ret;
}

/* ---- for the coordinator that comes after us when we are killed ---- */

static int state_path(char *path, size_t size)
{
	char err[512];
	int ret = util_runtime(path, size - 64, err, sizeof(err));

	if (ret < 0)
		return ret;
	sprintf(path + strlen(path), "/coordinator-%d.state", settings.port);
	return 0;
}

/* Kept beside the cookie while there is a computation. */
static void save_state(void)
{
	char path[PATH_MAX], *text;
	json_t *state;
	int ret = state_path(path, sizeof(path));

	if (ret < 0)
		return;
	if (!computation_exists()) {
		unlink(path);
		return;
	}
	state = computation_state();
	text = json_dumps(state, 0);
	ret = text ? util_write_file(path, text) : -ENOMEM;
	if (ret < 0)
		log_line("cannot write %s: %s", path, strerror(-ret));
	free(text);
	json_decref(state);
}

void computation_had(int groups)
{
	computation.had_groups = groups > 0 && groups < 100000 ? groups : 0;
	computation.had_until = computation.had_groups > groups_count()
					? loop_now() + TAKE_UP_SECONDS * 1000
					: NEVER;
}

int computation_misses_groups(void)
{
	int missing = computation.had_groups - groups_count();

	return computation.had_until != NEVER && missing > 0 ? missing : 0;
}

/* "HOST/NUMBER, HOST/NUMBER"; a number of groups is a word like any other. */
static void lost_add(const char *word)
{
	size_t length = strlen(computation.lost);

	snprintf(computation.lost + length, sizeof(computation.lost) - length,
		 "%s%s", length ? ", " : "", word);
}

void computation_lost(const char *host, unsigned long number)
{
	char word[128];

	snprintf(word, sizeof(word), "%.64s/%lu", host, number);
	lost_add(word);
}

void computation_lost_groups(int groups)
{
	char word[64];

	snprintf(word, sizeof(word), "%d host group%s", groups,
		 groups == 1 ? "" : "s");
	lost_add(word);
}

void computation_found(const char *host, unsigned long number)
{
	char before[sizeof(computation.lost)], name[128], *word, *at = before;

	snprintf(name, sizeof(name), "%.64s/%lu", host, number);
	memcpy(before, computation.lost, sizeof(before));
	computation.lost[0] = '\0';
	while ((word = strsep(&at, ",")) != NULL) {
		word += strspn(word, " ");
		if (*word && strcmp(word, name))
			lost_add(word);
	}
}

void computation_forget_lost(void)
{
	if (!computation.lost[0])
		return;
	log_line("goes on without %s", computation.lost);
	computation.lost[0] = '\0';
	computation_changed();
}

static int take_up(const json_t *state)
{
	const char *id = wire_string(state, "computation", "");
	const char *dir = wire_string(state, "dir", "");

	if (!*id || strlen(id) >= sizeof(computation.id) || strchr(id, '/') ||
	    dir[0] != '/' || strlen(dir) >= DIR_MAX ||
	    (!groups_of(id) && wire_int(state, "host_groups", 1) < 2))
		return 0;
	computation_continue(id, wire_string(state, "name", ""), dir,
			     wire_int(state, "generation", 0),
			     json_object_get(state, "options"));
	snprintf(computation.lost, sizeof(computation.lost), "%s",
		 wire_string(state, "lost", ""));
	if (!settings.interval)
		interval_set(wire_int(state, "interval", 0));
	computation_await_groups(TAKE_UP_SECONDS);
	computation_had(wire_int(state, "host_groups", 0));
	groups_find_again(id);
	return 1;
}

void computation_take_up(void)
{
	char path[PATH_MAX];
	json_t *state;

	if (state_path(path, sizeof(path)) < 0)
		return;
	state = json_load_file(path, 0, NULL);
	if (!take_up(state))
		unlink(path); /* all of it has gone since */
	json_decref(state);
}

static void computation_end(void)
{
	log_line("computation %s (%s) is over", computation.id,
		 computation.name);
	console_say("computation %s (%s) is over\n", computation.id,
		    computation.name);
	folder_close();
	computation.id[0] = '\0';
	computation.generation = 0;
	computation.restoring = 0;
	computation.deadline = computation.had_until = NEVER;
	json_decref(computation.options);
	computation.options = NULL;
	save_state();
	if (settings.exit_on_last || quit_when_over)
		loop_end(0);
}

int computation_awaits_groups(void)
{
	return computation_exists() && !groups_count() &&
	       computation.deadline != NEVER;
}

void computation_await_groups(int seconds)
{
	save_state(); /* it has begun */
	computation.deadline = loop_now() + seconds * 1000LL;
}

json_t *computation_state(void)
{
	return json_pack("{s:s, s:s, s:o, s:i, s:i, s:i, s:o, s:O}",
			 "computation", computation.id, "name",
			 computation.name, "dir", wire_text(computation.dir),
			 "generation", computation.generation, "interval",
			 settings.interval, "host_groups", groups_count(),
			 "lost", wire_text(computation.lost), "options",
			 computation.options);
}

void computation_changed(void)
{
	if (!computation_exists())
		return;
	if (!groups_count() && !clients_joining() &&
	    computation.deadline == NEVER) {
		computation_end();
		return;
	}
	save_state();
	groups_send(WIRE_STATE, computation_state());
}

int64_t computation_deadline(void)
{
	if (!computation_exists())
		return NEVER;
	return computation.deadline < computation.had_until
		       ? computation.deadline
		       : computation.had_until;
}

void computation_expired(int64_t now)
{
	if (computation.had_until <= now) {
		int missing = computation_misses_groups();

		if (missing) {
			log_line("%d host groups have not come back", missing);
			computation_lost_groups(missing);
		}
		computation.had_until = NEVER;
	}
	if (computation.deadline > now)
		return;
	computation.deadline = NEVER;
	if (computation.restoring) {
		log_line("the restart has not come to its end: not all host "
			 "groups are back");
		computation.restoring = 0;
		clients_restart_over(0, "the restart took too long: not all "
					"host groups have come back");
	}
	computation_changed();
}

void computation_quit_when_over(void)
{
	quit_when_over = 1;
	if (!computation_exists())
		loop_end(0);
}
