/* SPDX-License-Identifier: MIT */
/*
 * What -s and -l tell, for programs and for people. STATUS_SCHEMA is bumped
 * when a field changes its meaning or goes; new ones may come at any time.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/coordinator.h"

#define STATUS_SCHEMA 1

static int is_restoring(void)
{
	struct group *g;

	if (computation.restoring)
		return 1;
	for (g = groups_first(); g; g = g->next)
		if (!g->restored)
			return 1;
	return 0;
}

static const char *phase_text(void)
{
	if (checkpoint_phase() != PHASE_IDLE)
		return checkpoint_aborting() ? "abort"
					     : phase_name(checkpoint_phase());
	return is_restoring() ? "restart" : "idle";
}

static int is_running(void)
{
	return groups_processes() > 0 && checkpoint_phase() == PHASE_IDLE &&
	       !is_restoring();
}

static int groups_lost(void)
{
	struct group *g;
	int lost = 0;

	for (g = groups_first(); g; g = g->next)
		lost += !g->connection;
	return lost;
}

static const char *shown_dir(void)
{
	return computation_exists() ? computation.dir : settings.dir;
}

json_t *status_data(void)
{
	int64_t in, out;

	wire_bytes(&in, &out);
	return json_pack(
		"{s:i, s:b, s:s, s:i, s:i, s:i, s:i, s:o, s:i, s:o, s:s, "
		"s:s, s:o, s:i, s:I, s:I}",
		"schema", STATUS_SCHEMA, "running", is_running(), "phase",
		phase_text(), "processes", groups_processes(), "host_groups",
		groups_count(), "groups_lost", groups_lost(), "generation",
		computation.generation, "lost", wire_text(computation.lost),
		"interval", settings.interval,
		"ckptdir", wire_text(shown_dir()), "computation",
		computation.id, "name", computation.name, "directory",
		wire_text(computation_exists() ? computation.folder : ""),
		"port", settings.port, "bytes_in", (json_int_t)in, "bytes_out",
		(json_int_t)out);
}

void status_text(char *text, size_t size)
{
	int length;

	if (!computation_exists()) {
		snprintf(text, size,
			 "no program is running; coordinator at %s\n",
			 settings.address);
		return;
	}
	length = snprintf(text, size,
			  "computation  %s (%s)\n"
			  "phase        %s\n"
			  "processes    %d in %d host group%s\n"
			  "generation   %d\n"
			  "directory    %s\n",
			  computation.id, computation.name,
			  is_running() ? "running" : phase_text(),
			  groups_processes(), groups_count(),
			  groups_count() == 1 ? "" : "s",
			  computation.generation, computation.folder);
	if (settings.interval && length < (int)size)
		length += snprintf(text + length, size - length,
				   "interval     %d s\n", settings.interval);
	if (groups_lost() && length < (int)size)
		length += snprintf(
			text + length, size - length,
			"lost         %d host groups without an agent\n",
			groups_lost());
	if (computation.lost[0] && length < (int)size)
		snprintf(text + length, size - length,
			 "lost         %s; no checkpoints without it unless "
			 "asked for by --without-lost\n",
			 computation.lost);
}

json_t *list_data(void)
{
	json_t *groups = json_array();
	struct group *g;

	for (g = groups_first(); g; g = g->next)
		json_array_append_new(
			groups,
			json_pack("{s:o, s:s, s:I, s:i, s:b, s:b, s:O?}",
				  "host", wire_text(g->host), "address",
				  g->address, "group",
				  (json_int_t)g->number, "agent_pid",
				  (int)g->agent_pid, "capsule", g->capsule,
				  "connected", g->connection != NULL,
				  "processes", g->list));
	return json_pack("{s:i, s:s, s:o}", "schema", STATUS_SCHEMA,
			 "computation", computation.id, "groups", groups);
}

static void list_group(FILE *out, const struct group *g)
{
	json_t *process;
	size_t i;

	fprintf(out, "%s, %s %lu, agent %d%s\n", group_name(g),
		g->capsule ? "capsule" : "group", g->number,
		(int)g->agent_pid, g->connection ? "" : " (lost)");
	json_array_foreach (g->list, i, process)
		fprintf(out,
			"%8lld  parent %-8lld %-16s %s  %3lld threads  %8.1f MiB\n",
			(long long)wire_int(process, "pid", 0),
			(long long)wire_int(process, "ppid", 0),
			wire_string(process, "program", "?"),
			wire_string(process, "state", "?"),
			(long long)wire_int(process, "threads", 0),
			wire_int(process, "rss", 0) / 1048576.0);
}

char *list_text(void)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	struct group *g;

	if (!out)
		return NULL;
	if (!groups_count())
		fprintf(out, "no program is running\n");
	for (g = groups_first(); g; g = g->next)
		list_group(out, g);
	fclose(out);
	return text;
}
