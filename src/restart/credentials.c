/* SPDX-License-Identifier: MIT */
/*
 * Who the threads of a process were, as root's agent has noted it in the
 * manifest. Not the image is asked: it is written by the process, which may
 * have given root up. The restorer takes the ids again before it goes into
 * that memory.
 */
#define _GNU_SOURCE
#include "restart/credentials.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "restart/say.h"

#define GROUPS_MAX 65536u
#define CAPABILITIES 64

static const char *const names[] = {"inheritable", "permitted", "effective",
				    "bounding", "ambient"};
enum { INHERITABLE, PERMITTED, EFFECTIVE, BOUNDING, AMBIENT };

struct capability_words {
	struct __user_cap_header_struct head;
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
};

static _Noreturn void damaged(const struct job *job, int32_t pid)
{
	fail("%s/manifest.json: the ids of process %d are damaged: restart an older generation (--generation)",
	     job->generation_dir, pid);
}

static size_t numbers(const json_t *entry, const char *key, uint32_t *list,
		      size_t most)
{
	const json_t *array = json_object_get(entry, key), *value;
	size_t i;

	if (!json_is_array(array) || json_array_size(array) > most)
		return SIZE_MAX;
	json_array_foreach(array, i, value) {
		json_int_t number = json_integer_value(value);

		if (!json_is_integer(value) || number < 0 ||
		    number >= UINT32_MAX)
			return SIZE_MAX;
		list[i] = (uint32_t)number;
	}
	return json_array_size(array);
}

static void read_one(const struct job *job, int32_t pid, const json_t *entry,
		     struct job_ids *ids)
{
	size_t i, groups, tids;

	groups = json_array_size(json_object_get(entry, "groups"));
	tids = json_array_size(json_object_get(entry, "tids"));
	ids->groups = calloc(groups + 1, sizeof(*ids->groups));
	ids->tids = calloc(tids + 1, sizeof(*ids->tids));
	if (!ids->groups || !ids->tids)
		fail("out of memory while reading the manifest");
	ids->group_count = numbers(entry, "groups", ids->groups, groups);
	ids->tid_count = numbers(entry, "tids", ids->tids, tids);
	if (numbers(entry, "uid", ids->uid, 4) != 4 ||
	    numbers(entry, "gid", ids->gid, 4) != 4 ||
	    ids->group_count > GROUPS_MAX || ids->tid_count == SIZE_MAX)
		damaged(job, pid);
	for (i = 0; i < 5; i++) {
		const char *text = json_string_value(
			json_object_get(entry, names[i]));
		char *end;

		if (!text)
			damaged(job, pid);
		ids->capabilities[i] = strtoull(text, &end, 16);
		if (*end || end == text)
			damaged(job, pid);
	}
	ids->no_new_privs = json_integer_value(json_object_get(
				    entry, "no_new_privs")) != 0;
}

void credentials_read(struct job *job, struct job_process *p,
		      const json_t *entry)
{
	const json_t *list = json_object_get(entry, "ids"), *one;
	size_t i;

	if (!list)
		return;
	if (!json_array_size(list))
		damaged(job, p->process->pid);
	p->ids = calloc(json_array_size(list), sizeof(*p->ids));
	if (!p->ids)
		fail("out of memory while reading the manifest");
	p->ids_count = json_array_size(list);
	json_array_foreach(list, i, one)
		read_one(job, p->process->pid, one, &p->ids[i]);
	job->has_ids = 1;
}

const struct job_ids *credentials_of(const struct job_process *p, int32_t tid)
{
	size_t i, k;

	for (i = 0; i < p->ids_count; i++)
		for (k = 0; k < p->ids[i].tid_count; k++)
			if (p->ids[i].tids[k] == (uint32_t)tid)
				return &p->ids[i];
	return NULL;
}

int credentials_may_be_root(const struct job_process *p)
{
	size_t i;

	for (i = 0; i < p->ids_count; i++)
		if (!p->ids[i].uid[0] || !p->ids[i].uid[1] || !p->ids[i].uid[2])
			return 1;
	return p->ids_count == 0;
}

static int has_been(const struct job_process *p, uint32_t uid)
{
	size_t i, k;

	for (i = 0; i < p->ids_count; i++)
		for (k = 0; k < 4; k++)
			if (p->ids[i].uid[k] == uid)
				return 1;
	return 0;
}

/* In a user namespace not every id is one. */
static int is_mapped(const char *file, uint32_t id)
{
	unsigned long inside, outside, count;
	FILE *f = fopen(file, "re");
	int found = !f;

	while (!found && fscanf(f, "%lu %lu %lu", &inside, &outside, &count) == 3)
		found = id >= inside && id - inside < count;
	if (f)
		fclose(f);
	return found;
}

static int read_own(struct capability_words *own)
{
	*own = (struct capability_words){
		.head.version = _LINUX_CAPABILITY_VERSION_3};
	return (int)syscall(SYS_capget, &own->head, own->data);
}

static void check_rights(const struct job_process *p)
{
	const uint32_t needed = 1u << CAP_SETUID | 1u << CAP_SETGID |
				1u << CAP_SETPCAP;
	struct capability_words own;
	size_t i, k;

	if (read_own(&own) < 0 ||
	    (own.data[0].effective & needed) != needed)
		fail("%s: the program had become uid %u, which takes CAP_SETUID, CAP_SETGID and CAP_SETPCAP here: restart it with them",
		     p->name, p->ids[0].uid[0]);
	for (i = 0; i < p->ids_count; i++)
		for (k = 0; k < 4; k++)
			if (!is_mapped("/proc/self/uid_map", p->ids[i].uid[k]) ||
			    !is_mapped("/proc/self/gid_map", p->ids[i].gid[k]))
				fail("%s: the program had become uid %u and gid %u, which are not in the user namespace here: restart it where they are",
				     p->name, p->ids[i].uid[k],
				     p->ids[i].gid[k]);
}

void credentials_check(const struct job *job)
{
	const struct job_process *p;
	size_t i;

	for (p = job->processes; p < job->processes + job->process_count; p++) {
		if (!p->ids_count)
			continue;
		if (geteuid() != 0)
			fail("%s: processes of this job that root had started have become other users: only root can restart it",
			     p->name);
		check_rights(p);
		if (!has_been(p, p->process->uid))
			fail("%s: it says it was uid %u, which does not agree with the manifest: do not trust it",
			     p->name, p->process->uid);
		for (i = 0; i < p->thread_count; i++)
			if (!credentials_of(p, p->threads[i].record->tid))
				fail("%s: thread %d is not in the manifest: do not trust it",
				     p->name, p->threads[i].record->tid);
	}
}

/* ---- the plan ---- */

struct calls {
	char *at; /* free memory of the plan */
	struct bare_call *next;
};

/* One at most for each, and those for capabilities. */
#define CALLS_MOST (16 + 2 * CAPABILITIES)

size_t credentials_calls_size(const struct job_ids *ids)
{
	return CALLS_MOST * sizeof(struct bare_call) +
	       3 * sizeof(struct capability_words) + 64 +
	       (ids ? ids->group_count : 0) * sizeof(uint32_t);
}

static void call_add(struct calls *calls, long number, uint64_t a, uint64_t b,
		     uint64_t c, uint64_t d, int64_t expected)
{
	*calls->next++ = (struct bare_call){.number = number,
					    .arguments = {a, b, c, d},
					    .expected = expected};
}

static void call_unchecked(struct calls *calls, long number, uint64_t a,
			   uint64_t b)
{
	call_add(calls, number, a, b, 0, 0, 0);
	calls->next[-1].unchecked = 1;
}

static void *put(struct calls *calls, const void *data, size_t size)
{
	void *to = calls->at;

	if (size)
		memcpy(to, data, size);
	calls->at += (size + 15) & ~15ull;
	return to;
}

static void call_capset(struct calls *calls, uint64_t permitted,
			uint64_t effective, uint64_t inheritable)
{
	struct capability_words words = {
		.head.version = _LINUX_CAPABILITY_VERSION_3}, *at;
	int i;

	for (i = 0; i < 2; i++) {
		words.data[i].permitted = (uint32_t)(permitted >> 32 * i);
		words.data[i].effective = (uint32_t)(effective >> 32 * i);
		words.data[i].inheritable = (uint32_t)(inheritable >> 32 * i);
	}
	at = put(calls, &words, sizeof(words));
	call_add(calls, SYS_capset, (uint64_t)(uintptr_t)&at->head,
		 (uint64_t)(uintptr_t)at->data, 0, 0, 0);
}

/* Raised again, when the changes of ids have taken them away. */
static void calls_ambient(struct calls *calls, const struct job_ids *ids)
{
	uint64_t bit;

	for (bit = 0; bit < CAPABILITIES; bit++)
		if (ids->capabilities[AMBIENT] >> bit & 1)
			call_add(calls, SYS_prctl, PR_CAP_AMBIENT,
				 PR_CAP_AMBIENT_RAISE, bit, 0, 0);
}

static void calls_bounding(struct calls *calls, const struct job_ids *ids)
{
	uint64_t bit;

	for (bit = 0; bit < CAPABILITIES; bit++)
		if (!(ids->capabilities[BOUNDING] >> bit & 1) &&
		    prctl(PR_CAPBSET_READ, bit, 0, 0, 0) == 1)
			call_add(calls, SYS_prctl, PR_CAPBSET_DROP, bit, 0, 0,
				 0);
}

/* Groups first, while there is the right to; the user, with what is permitted
 * kept; the file system's ids, which the others have set; capabilities. */
static void calls_ids(struct calls *calls, const struct job_ids *ids)
{
	const uint64_t *caps = ids->capabilities;
	struct capability_words own;
	uint64_t most, inheritable, nobody = (uint32_t)-1;
	uint64_t groups = (uint64_t)(uintptr_t)put(
		calls, ids->groups, ids->group_count * sizeof(uint32_t));

	if (read_own(&own) < 0)
		fail("capabilities cannot be read: %s", strerror(errno));
	most = own.data[0].permitted | (uint64_t)own.data[1].permitted << 32;
	inheritable = caps[INHERITABLE] & most;
	/* While the bounding set has them still. */
	if (inheritable)
		call_capset(calls, most, most, inheritable);
	calls_bounding(calls, ids);
	call_add(calls, SYS_setgroups, ids->group_count, groups, 0, 0, 0);
	call_add(calls, SYS_setresgid, ids->gid[0], ids->gid[1], ids->gid[2], 0,
		 0);
	call_unchecked(calls, SYS_setfsgid, ids->gid[3], 0);
	call_add(calls, SYS_setfsgid, nobody, 0, 0, 0, ids->gid[3]);
	call_unchecked(calls, SYS_prctl, PR_SET_KEEPCAPS, 1);
	call_add(calls, SYS_setresuid, ids->uid[0], ids->uid[1], ids->uid[2], 0,
		 0);
	if (ids->uid[3] != ids->uid[1])
		call_capset(calls, most, most, inheritable);
	call_unchecked(calls, SYS_setfsuid, ids->uid[3], 0);
	call_add(calls, SYS_setfsuid, nobody, 0, 0, 0, ids->uid[3]);
	/* What it had and the restart has not stays lost. */
	call_capset(calls, caps[PERMITTED] & most, caps[EFFECTIVE] & most,
		    inheritable);
	call_unchecked(calls, SYS_prctl, PR_SET_KEEPCAPS,
		       prctl(PR_GET_KEEPCAPS) == 1);
	calls_ambient(calls, ids);
	if (ids->no_new_privs)
		call_add(calls, SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

struct bare_call *credentials_plan(const struct job_ids *ids, int close_fd,
				   void *memory)
{
	struct calls calls = {
		.at = (char *)memory + CALLS_MOST * sizeof(struct bare_call),
		.next = memory,
	};

	if (close_fd >= 0)
		call_unchecked(&calls, SYS_close, (uint64_t)close_fd, 0);
	if (ids)
		calls_ids(&calls, ids);
	calls.next->number = BARE_CALLS_END;
	return memory;
}
