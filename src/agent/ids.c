/* SPDX-License-Identifier: MIT */
/*
 * Who the threads of a process are. Root's agent notes it of each process that
 * is not just root, for the manifest: the process itself is not believed, as
 * it may have given root up and want it back. Nothing is noted of others: an
 * ordinary user's processes are that user.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/now.h"
#include "agent/proc.h"

static const char *const capabilities[][2] = {
	{"inheritable", "\nCapInh:"}, {"permitted", "\nCapPrm:"},
	{"effective", "\nCapEff:"},   {"bounding", "\nCapBnd:"},
	{"ambient", "\nCapAmb:"},
};

/* The numbers behind a key, up to the end of its line. */
static json_t *numbers(const char *text, const char *key)
{
	const char *at = strstr(text, key), *end;
	json_t *list = json_array();
	char *behind;

	if (!at)
		return list;
	at += strlen(key);
	end = at + strcspn(at, "\n");
	for (;;) {
		unsigned long value;

		at += strspn(at, " \t");
		if (at >= end)
			return list;
		value = strtoul(at, &behind, 10);
		if (behind == at)
			return list;
		json_array_append_new(list, json_integer((json_int_t)value));
		at = behind;
	}
}

static json_t *ids_of(const char *text)
{
	json_t *ids = json_object();
	size_t i;

	json_object_set_new(ids, "uid", numbers(text, "\nUid:"));
	json_object_set_new(ids, "gid", numbers(text, "\nGid:"));
	json_object_set_new(ids, "groups", numbers(text, "\nGroups:"));
	for (i = 0; i < sizeof(capabilities) / sizeof(*capabilities); i++) {
		const char *at = strstr(text, capabilities[i][1]);
		char word[17] = "0";

		if (at)
			sscanf(at + strlen(capabilities[i][1]), "%16s", word);
		json_object_set_new(ids, capabilities[i][0], json_string(word));
	}
	json_object_set_new(ids, "no_new_privs",
			    json_integer(strstr(text, "\nNoNewPrivs:\t1") !=
					 NULL));
	return ids;
}

static int is_just_root(const char *text)
{
	static const char *const keys[] = {"\nUid:", "\nGid:"};
	unsigned id[4] = {1};
	size_t i;

	for (i = 0; i < 2; i++) {
		const char *at = strstr(text, keys[i]);

		if (!at || sscanf(at + strlen(keys[i]), "%u %u %u %u", &id[0],
				  &id[1], &id[2], &id[3]) != 4 ||
		    (id[0] | id[1] | id[2] | id[3]))
			return 0;
	}
	return 1;
}

/* Threads that are the same somebody stand together. */
static void add(json_t *all, json_t *ids, pid_t tid)
{
	json_t *one, *tids;
	size_t i;

	json_array_foreach(all, i, one) {
		tids = json_incref(json_object_get(one, "tids"));
		json_object_del(one, "tids");
		if (json_equal(one, ids)) {
			json_array_append_new(tids, json_integer(tid));
			json_object_set_new(one, "tids", tids);
			json_decref(ids);
			return;
		}
		json_object_set_new(one, "tids", tids);
	}
	json_object_set_new(ids, "tids", json_pack("[i]", (int)tid));
	json_array_append_new(all, ids);
}

json_t *ids_report(pid_t pid)
{
	char *text;
	json_t *all = NULL;
	pid_t *tids;
	int count, i;

	if (geteuid() != 0)
		return NULL;
	count = proc_all_threads(pid, &tids);
	text = malloc(PROC_STATUS_MAX);
	for (i = 0; i < count && text; i++) {
		if (proc_status_text(pid, tids[i], text, PROC_STATUS_MAX) < 0)
			continue;
		if (!all && is_just_root(text))
			continue;
		if (!all) { /* from the first one on: all are told of */
			all = json_array();
			i = -1;
			continue;
		}
		add(all, ids_of(text), tids[i]);
	}
	free(text);
	free(tids);
	return all;
}
