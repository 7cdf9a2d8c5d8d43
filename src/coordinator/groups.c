/* SPDX-License-Identifier: MIT */
/*
 * Host groups. A group outlives its agent: when that is killed, its processes
 * run on, and we start another agent for them, on other hosts by ssh. (The agent
 * of a capsule is its pid 1: when it dies, so does the capsule.)
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "coordinator/coordinator.h"
#include "util/daemon.h"
#include "util/log.h"
#include "util/paths.h"
#include "util/runtime.h"

static struct group *groups;
static int64_t last_seq;

/* How long after its loss an agent is replaced; it may only have lost the
 * connection. After the last one the group is given up. */
static const int attempt_ms[] = {300, 1000, 3000, 8000, 15000, 30000};
#define ATTEMPTS ((int)(sizeof(attempt_ms) / sizeof(attempt_ms[0])))

struct group *groups_first(void)
{
	return groups;
}

int groups_count(void)
{
	struct group *g;
	int count = 0;

	for (g = groups; g; g = g->next)
		count++;
	return count;
}

int groups_processes(void)
{
	struct group *g;
	int count = 0;

	for (g = groups; g; g = g->next)
		count += g->processes;
	return count;
}

void groups_send(enum wire_type type, json_t *body)
{
	struct group *g;

	for (g = groups; g; g = g->next)
		if (g->connection)
			connection_send(g->connection, type, json_incref(body));
	json_decref(body);
}

int64_t groups_query(void)
{
	groups_send(WIRE_QUERY,
		    json_pack("{s:I}", "seq", (json_int_t)++last_seq));
	return last_seq;
}

int groups_answered(int64_t seq)
{
	struct group *g;

	for (g = groups; g; g = g->next)
		if (g->connection && g->seq < seq)
			return 0;
	return 1;
}

const char *group_name(const struct group *group)
{
	static char name[sizeof(group->host) + sizeof(group->address) + 4];
	const char *colon = strrchr(group->address, ':');

	if (groups_count() < 2 || !colon)
		return group->host;
	snprintf(name, sizeof(name), "%s (%.*s)", group->host,
		 (int)(colon - group->address), group->address);
	return name;
}

/* A group keeps its place from one restart to the next; a new one is last. */
static void group_add(struct group *group, int index)
{
	struct group **at = &groups;
	int last = -1;

	for (; *at && (index < 0 || (*at)->index <= index); at = &(*at)->next)
		last = (*at)->index;
	group->index = index < 0 ? last + 1 : index;
	group->next = *at;
	*at = group;
}

static void group_free(struct group *group)
{
	struct group **at;

	for (at = &groups; *at != group;)
		at = &(*at)->next;
	*at = group->next;
	for (int i = 0; i < PHASE_COUNT; i++)
		json_decref(group->figures[i]);
	json_decref(group->list);
	free(group);
}

static struct group *group_find(const char *host, unsigned long number,
				const char *runtime_dir)
{
	struct group *g;

	for (g = groups; g; g = g->next)
		if (g->number == number && !strcmp(g->host, host) &&
		    !strcmp(g->runtime_dir, runtime_dir))
			return g;
	return NULL;
}

/* ---- what agents say ---- */

/* Is it one of ours, or does it bring back what we do not know yet? */
static int belongs(struct connection *connection, const json_t *body)
{
	const json_t *state = json_object_get(body, "state");
	const char *id = wire_string(body, "computation", "");
	const char *dir = wire_string(state, "dir", settings.dir);

	if (!*id || strlen(id) >= sizeof(computation.id)) {
		connection_drop(connection, "REGISTER without a computation");
		return 0;
	}
	if (computation_exists()) {
		if (!strcmp(id, computation.id))
			return 1;
		/* It will ask again; perhaps ours is over by then. */
		connection_drop(connection,
				"it belongs to computation %s, not "
				"to %s",
				id, computation.id);
		return 0;
	}
	if (dir[0] != '/' || strlen(dir) >= DIR_MAX) {
		connection_drop(connection, "REGISTER without a directory");
		return 0;
	}
	if (computation_continue(id, wire_string(state, "name", "unknown"), dir,
				 wire_int(state, "generation", 0),
				 json_object_get(state, "options")) == -EBUSY) {
		log_line("%s/ckpt-*-%s is in use by another coordinator", dir,
			 id);
		/* The processes know themselves by their id. */
		snprintf(computation.id, sizeof(computation.id), "%s", id);
	}
	if (settings.interval == 0)
		interval_set(wire_int(state, "interval", 0));
	computation_had(wire_int(state, "host_groups", 0));
	return 1;
}

void agent_register(struct connection *connection, json_t *body)
{
	const char *host = wire_string(body, "host", "");
	const char *dir = wire_string(body, "runtime_dir", "");
	struct group *group;

	if (connection->group || strlen(host) >= sizeof(group->host) ||
	    strlen(dir) >= sizeof(group->runtime_dir)) {
		connection_drop(connection, "malformed REGISTER");
		return;
	}
	if (!belongs(connection, body))
		return;
	group = group_find(host, wire_int(body, "group", 0), dir);
	if (group && group->connection) {
		/* The old connection has not been seen to break yet. */
		struct connection *old = group->connection;

		old->group = NULL;
		group->connection = NULL;
		connection_drop(old, "its group has a new agent");
		checkpoint_group_lost(group);
	}
	if (!group) {
		group = calloc(1, sizeof(*group));
		if (!group) {
			connection_drop(connection, "out of memory");
			return;
		}
		group_add(group, wire_int(body, "index", -1));
		strcpy(group->host, host);
		strcpy(group->runtime_dir, dir);
		group->number = wire_int(body, "group", 0);
		group->restored = wire_int(body, "expect", 0) == 0;
	}
	group->connection = connection;
	connection->group = group;
	snprintf(group->address, sizeof(group->address), "%s",
		 wire_address(connection->peer));
	group->agent_pid = wire_int(body, "pid", 0);
	group->capsule = wire_bool(body, "capsule", 0);
	group->processes = wire_int(body, "processes", 0);
	group->attempts = 0;
	computation_found(group->host, group->number);
	computation.deadline =
		computation.restoring ? computation.deadline : NEVER;
	log_line("agent of %s/%lu (pid %d, %s) has registered: %d processes",
		 group->host, group->number, (int)group->agent_pid,
		 wire_address(connection->peer), group->processes);
	computation_changed();
	connection_send(connection, WIRE_QUERY,
			json_pack("{s:I}", "seq", (json_int_t)last_seq));
	if (clients_killing()) /* it was not there to hear it */
		connection_send(connection, WIRE_KILL, json_object());
}

void agent_processes(struct connection *connection, json_t *body)
{
	struct group *group = connection->group;
	json_t *list = json_object_get(body, "processes");

	if (!json_is_array(list)) {
		connection_drop(connection, "malformed PROCESSES");
		return;
	}
	json_decref(group->list);
	group->list = json_incref(list);
	group->processes = json_array_size(list);
	group->seq = wire_int(body, "seq", group->seq);
}

/* When all of a restart's groups are back they may run. */
void agent_restarted(struct connection *connection, json_t *body)
{
	struct group *g, *group = connection->group;
	int back = 0;

	group->processes = wire_int(body, "processes", group->processes);
	group->restored = 1;
	for (g = groups; g; g = g->next)
		back += g->restored;
	log_line("%s/%lu is back: %d processes", group->host, group->number,
		 group->processes);
	if (computation.restoring && back < computation.restoring)
		return;
	computation.restoring = 0;
	computation.deadline = NEVER;
	groups_send(WIRE_RESUME, json_object());
	interval_restart();
	clients_restart_over(1, "all processes are back\n");
}

void agent_leaving(struct connection *connection, json_t *body)
{
	struct group *group = connection->group;

	(void)body;
	log_line("%s/%lu: the last process has gone", group->host,
		 group->number);
	if (!group->restored) {
		computation.restoring = 0;
		clients_restart_over(0, "the restarted processes have ended "
					"before all were back");
	}
	connection->group = NULL;
	group->connection = NULL;
	checkpoint_group_left(group);
	group_free(group);
	connection->doomed = 1;
	/* With the last group gone only a launch under way keeps it. */
	if (!groups && !clients_joining())
		computation.deadline = NEVER;
	computation_changed();
}

/* ---- agents that are lost ---- */

void group_lost(struct group *group)
{
	log_line("%s/%lu has lost its agent (pid %d)", group->host,
		 group->number, (int)group->agent_pid);
	group->attempts = 0;
	group->next_attempt = loop_now() + attempt_ms[0];
	checkpoint_group_lost(group);
	if (!group->capsule || (group->restored && !computation.restoring))
		return;
	/* Its restart has failed, and the capsule is no more. */
	group_free(group);
	if (!groups && !clients_joining())
		computation.deadline = NEVER;
	computation_changed();
}

static int is_here(const struct group *group)
{
	return !group->capsule && group->number == util_host_group() &&
	       access(group->runtime_dir, R_OK | W_OK | X_OK) == 0;
}

/* Should the old one be alive after all, the new one finds its lock and ends. */
static void start_agent(const char *group_dir, const char *id)
{
	char path[PATH_MAX], log[PATH_MAX + 16], line[256];
	char *argv[] = {"ckpt_agent",
			"--group-dir",
			(char *)group_dir,
			"--coordinator",
			settings.address,
			"--computation",
			(char *)id,
			"--ready-fd",
			"3",
			NULL};
	int ret = util_find_program("ckpt_agent", path, sizeof(path));

	if (ret < 0) {
		log_line("ckpt_agent is not where we are installed");
		return;
	}
	snprintf(log, sizeof(log), "%s/agent.log", group_dir);
	ret = util_start_daemon(path, argv, log, 0, line, sizeof(line));
	if (ret < 0)
		log_line("cannot start an agent in %s: %s", group_dir, line);
	else
		log_line("started a new agent in %s", group_dir);
}

/* Its lock is free: it is dead, and there are processes to look after. */
static int agent_is_dead(const char *group_dir)
{
	char path[PATH_MAX + 16];
	int fd, dead;

	snprintf(path, sizeof(path), "%s/agent.lock", group_dir);
	fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return 0;
	dead = flock(fd, LOCK_EX | LOCK_NB) == 0;
	close(fd);
	return dead;
}

/* Calls found() with each folder RUNTIME/ID-GROUP. */
static int each_group_dir(const char *id,
			  void (*found)(const char *group_dir, const char *id))
{
	char runtime[PATH_MAX - 300], path[PATH_MAX], err[512];
	size_t length = strlen(id);
	struct dirent *entry;
	int count = 0;
	DIR *dir;

	if (util_runtime(runtime, sizeof(runtime), err, sizeof(err)) < 0)
		return 0;
	dir = opendir(runtime);
	while (dir && (entry = readdir(dir))) {
		if (strncmp(entry->d_name, id, length) ||
		    entry->d_name[length] != '-')
			continue;
		snprintf(path, sizeof(path), "%s/%s", runtime, entry->d_name);
		count++;
		if (found)
			found(path, id);
	}
	if (dir)
		closedir(dir);
	return count;
}

int groups_of(const char *id)
{
	return each_group_dir(id, NULL);
}

static void replace_dead(const char *group_dir, const char *id)
{
	const char *number = strrchr(group_dir, '-') + 1;

	/* Those of a capsule died with it. */
	if (strtoul(number, NULL, 10) == util_host_group() &&
	    agent_is_dead(group_dir))
		start_agent(group_dir, id);
}

void groups_find_again(const char *id)
{
	each_group_dir(id, replace_dead);
}

int64_t groups_deadline(void)
{
	int64_t deadline = NEVER;
	struct group *g;

	for (g = groups; g; g = g->next)
		if (!g->connection && g->next_attempt < deadline)
			deadline = g->next_attempt;
	return deadline;
}

static void replace(const struct group *group)
{
	if (is_here(group))
		start_agent(group->runtime_dir, computation.id);
	else if (!group->capsule && strcmp(group->host, settings.host))
		abroad_start_agent(group->host, group->runtime_dir,
				   computation.id);
}

void groups_expired(int64_t now)
{
	struct group *g, *next;
	int changed = 0;

	for (g = groups; g; g = next) {
		next = g->next;
		if (g->connection || g->next_attempt > now)
			continue;
		/* A capsule dies with its agent. */
		if (++g->attempts < ATTEMPTS &&
		    !(g->capsule && g->attempts > 1)) {
			replace(g);
			g->next_attempt = now + attempt_ms[g->attempts];
			continue;
		}
		log_line("%s/%lu is given up: no agent has come back", g->host,
			 g->number);
		computation_lost(g->host, g->number);
		group_free(g);
		changed = 1;
	}
	if (changed) {
		if (!groups)
			computation.deadline = NEVER;
		computation_changed();
	}
}
