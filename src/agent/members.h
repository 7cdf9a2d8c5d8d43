/* SPDX-License-Identifier: MIT */
/*
 * The processes of the group. The registry is the truth; a member is what we
 * keep beside a slot: a pidfd that tells of its death, and its part in the
 * checkpoint under way. Event loop only.
 */
#ifndef AGENT_MEMBERS_H
#define AGENT_MEMBERS_H

#include <jansson.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/loop.h"
#include "wire/registry.h"

struct part;
struct service;

struct member {
	struct member *next, **here; /* here: what points to it */
	struct member *same;	     /* of its bucket */
	struct registry_slot *slot; /* NULL: made by raw clone; it will take
				     * one when it is poked */
	pid_t pid;
	uint64_t start_time;
	char program[24];
	struct loop_source pidfd;
	struct part *part;	 /* checkpoint.c's, or NULL */
	struct service *leaving; /* its service thread has not ended yet since
				  * the last checkpoint: no poke meanwhile */
	uint64_t held_since;	 /* by a tracer: since when we see it */
};

/* Take notice of who came; free the slots of who went. */
void members_scan(void);
/* One that has just come, or NULL: does not look at all slots. */
struct member *members_seek(pid_t pid);
/* Names change, by exec and prctl: learn them anew. */
void members_name(void);
struct member *members_first(void);
struct member *members_find(pid_t pid);
unsigned members_count(void);

/* Look for descendants that the library is not in. Some may just be being
 * born or in exec, or share their parent's memory (vfork): those are pending,
 * ask again soon. One that has been so for a second, and since `since`
 * (loop_now()), counts as a stranger. Descendants without a slot that the
 * library is in become members. Returns 1 and who it is, else 0. */
struct members_pending {
	pid_t pid;	/* who has been so for the longest; 0: nobody */
	int sharing;	/* its parent's memory */
	uint64_t since; /* loop_now() */
};
struct members_stranger {
	pid_t pid;
	char program[24];
	char why[160];
};
int members_stranger(uint64_t since, struct members_pending *pending,
		     struct members_stranger *out);
/* Whom that look has met dead, not fetched yet by their parents. */
size_t members_dead_children(const pid_t **list);

/* 1: somebody of the group has no slot yet, though everybody who has made him
 * may be dead: a child by fork that has not run yet, a program that has not
 * loaded us yet. Looks at all processes there are. */
int members_unborn(void);

/* SIGKILL for every member, and for who joins them before all are dead. */
void members_kill(void);
/* [{pid, ppid, program, state, threads, rss}] */
json_t *members_report(void);
uint64_t members_memory(void); /* bytes that no file holds, of all */

#endif
