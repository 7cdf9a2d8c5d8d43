/* SPDX-License-Identifier: MIT */
/*
 * What is known of the tree, and who makes whom.
 *
 * A process changes its session at most once, by setsid(), and its parent only
 * when that one ends. So a child stands in the session its parent was born
 * in or in the one its parent made, and is made before or after the
 * parent's setsid(); if it stands in neither, it is an orphan that was adopted:
 * a helper in the right session makes it and ends. A session whose leader
 * is dead gets one for as long as that takes; so does a group.
 */
#define _GNU_SOURCE
#include "restart/tree.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "restart/credentials.h"
#include "restart/say.h"

static void *need(void *memory)
{
	if (!memory)
		fail("out of memory while planning the processes");
	return memory;
}

static _Noreturn void nonsense(const struct job *job, const char *what,
			       int32_t pid)
{
	fail("%s/manifest.json: %s %d; it is damaged: restart an older generation (--generation)",
	     job->generation_dir, what, pid);
}

/* ---- reading ---- */

static struct tree_node *node_add(struct tree *tree, enum tree_role role)
{
	struct tree_node *n = need(calloc(1, sizeof(*n)));

	if (!(tree->count & (tree->count - 1)))
		tree->nodes = need(realloc(
			tree->nodes, (tree->count ? 2 * tree->count : 1) *
					     sizeof(*tree->nodes)));
	tree->nodes[tree->count++] = n;
	n->role = role;
	return n;
}

static int by_pid(const void *a, const void *b)
{
	const struct tree_node *x = *(struct tree_node *const *)a;
	const struct tree_node *y = *(struct tree_node *const *)b;

	return (x->pid > y->pid) - (x->pid < y->pid);
}

/* Anew, when nodes have come. */
static void sort(const struct job *job, struct tree *tree)
{
	size_t i;

	free(tree->by_pid);
	tree->by_pid = need(calloc(tree->count + 1, sizeof(*tree->by_pid)));
	tree->by_pid_count = 0;
	for (i = 0; i < tree->count; i++)
		if (tree->nodes[i]->pid)
			tree->by_pid[tree->by_pid_count++] = tree->nodes[i];
	qsort(tree->by_pid, tree->by_pid_count, sizeof(*tree->by_pid), by_pid);
	for (i = 1; i < tree->by_pid_count; i++)
		if (tree->by_pid[i]->pid == tree->by_pid[i - 1]->pid)
			nonsense(job, "it has two processes",
				 tree->by_pid[i]->pid);
}

static struct tree_node *find(const struct tree *tree, int32_t pid)
{
	struct tree_node wanted = {.pid = pid}, *key = &wanted, **found;

	if (pid <= 0)
		return NULL;
	found = bsearch(&key, tree->by_pid, tree->by_pid_count,
			sizeof(*tree->by_pid), by_pid);
	return found ? *found : NULL;
}

static int32_t number(const json_t *entry, const char *key)
{
	return (int32_t)json_integer_value(json_object_get(entry, key));
}

static void read_entry(struct tree *tree, const json_t *entry)
{
	const char *state = json_string_value(json_object_get(entry, "state"));
	const char *program =
		json_string_value(json_object_get(entry, "program"));
	struct tree_node *n = node_add(tree, TREE_PROCESS);

	n->pid = number(entry, "pid");
	n->ppid = number(entry, "ppid");
	n->pgid = number(entry, "pgid");
	n->sid = number(entry, "sid");
	n->status = number(entry, "status");
	n->entry = entry;
	if (state && strcmp(state, "zombie") == 0)
		n->role = TREE_ZOMBIE;
	n->stopped = state && strcmp(state, "stopped") == 0;
	snprintf(n->program, sizeof(n->program), "%s", program ? program : "");
}

static void read_images(struct tree *tree, struct job *job)
{
	struct job_process *p;

	for (p = job->processes; p < job->processes + job->process_count; p++) {
		struct tree_node *n = node_add(tree, TREE_PROCESS);

		n->pid = p->process->pid;
		n->ppid = p->process->ppid;
		n->pgid = p->process->pgid;
		n->sid = p->process->sid;
	}
}

/* An image knows nothing of other processes. What the root process had from
 * outside is outside, other numbers that nobody bears are of the dead. */
static void guess_outside(struct tree *tree, const struct job *job)
{
	const struct image_process *root = job_root(job)->process;
	size_t i;

	for (i = 0; i < tree->count; i++) {
		struct tree_node *n = tree->nodes[i];

		if (n->sid == root->sid && !find(tree, n->sid))
			n->sid = 0;
		if (n->pgid == root->pgid && !find(tree, n->pgid))
			n->pgid = 0;
	}
}

static void link_images(struct tree *tree, struct job *job)
{
	struct job_process *p;
	struct tree_node *n;
	size_t i;

	for (p = job->processes; p < job->processes + job->process_count; p++) {
		n = find(tree, p->process->pid);
		if (!n)
			nonsense(job, "its tree lacks process",
				 p->process->pid);
		n->role = TREE_PROCESS; /* its leader may be a zombie */
		n->process = p;
		if (n->entry)
			credentials_read(job, p, n->entry);
	}
	for (i = 0; i < tree->count; i++) {
		n = tree->nodes[i];
		if (n->pid <= 1 || n->ppid < 0 || n->pgid < 0 || n->sid < 0)
			nonsense(job, "its tree has a process", n->pid);
		if (n->role == TREE_PROCESS && !n->process)
			nonsense(job, "there is no image of process", n->pid);
	}
}

static void link_parents(struct tree *tree)
{
	size_t i;

	for (i = tree->count; i-- > 0;) {
		struct tree_node *n = tree->nodes[i];
		struct tree_node *parent = find(tree, n->ppid);

		n->parent = parent && parent != n ? parent : &tree->init;
		n->sibling = n->parent->children;
		n->parent->children = n;
	}
}

/* The one launched first: of those whose parent is not of the job. */
static void find_root(struct tree *tree, struct job *job)
{
	struct job_process *root = NULL, first = job->processes[0];
	struct tree_node *n, **at;

	for (n = tree->init.children; n; n = n->sibling) {
		const struct image_process *p;

		if (n->role != TREE_PROCESS)
			continue;
		p = n->process->process;
		if (!root || p->start_time < root->process->start_time ||
		    (p->start_time == root->process->start_time &&
		     p->pid < root->process->pid))
			root = n->process;
	}
	if (!root)
		nonsense(job, "all parents are in it, also that of",
			 first.process->pid);
	job->processes[0] = *root;
	*root = first;
	find(tree, root->process->pid)->process = root;
	n = find(tree, job_root(job)->process->pid);
	n->process = job_root(job);
	/* It is made first, see tree_grow(). */
	for (at = &tree->init.children; *at != n; at = &(*at)->sibling)
		;
	*at = n->sibling;
	n->sibling = tree->init.children;
	tree->init.children = n;
}

static int ascending(const void *a, const void *b)
{
	const struct tree_node *x = *(struct tree_node *const *)a;
	const struct tree_node *y = *(struct tree_node *const *)b;

	return x->sid != y->sid ? (x->sid > y->sid) - (x->sid < y->sid)
				: (x->pgid > y->pgid) - (x->pgid < y->pgid);
}

/* Sessions and groups whose leader is dead. */
static void add_leaders(struct tree *tree, const struct job *job)
{
	struct tree_node **members, *leader = NULL;
	size_t i, count = tree->count;

	/* Whoever has left the outside session has left its groups. */
	for (i = 0; i < count; i++)
		if (tree->nodes[i]->sid && !tree->nodes[i]->pgid)
			tree->nodes[i]->pgid = tree->nodes[i]->sid;
	members = need(calloc(count, sizeof(*members)));
	memcpy(members, tree->nodes, count * sizeof(*members));
	qsort(members, count, sizeof(*members), ascending);
	for (i = 0; i < count; i++) {
		int32_t sid = members[i]->sid;

		if (!sid || find(tree, sid) || (leader && leader->pid == sid))
			continue;
		leader = node_add(tree, TREE_LEADER);
		leader->pid = leader->sid = leader->pgid = sid;
	}
	sort(job, tree);
	leader = NULL;
	for (i = 0; i < count; i++) {
		int32_t pgid = members[i]->pgid;

		if (!pgid || find(tree, pgid) ||
		    (leader && leader->pid == pgid))
			continue;
		leader = node_add(tree, TREE_LEADER);
		leader->pid = leader->pgid = pgid;
		leader->sid = members[i]->sid;
	}
	sort(job, tree);
	free(members);
}

void tree_read(struct job *job)
{
	json_t *groups = json_object_get(job->manifest, "groups"), *entries;
	struct tree *tree = need(calloc(1, sizeof(*tree)));
	json_t *entry;
	size_t i;

	job->tree = tree;
	entries = json_object_get(json_array_get(groups, 0), "tree");
	if (entries)
		json_array_foreach(entries, i, entry)
			read_entry(tree, entry);
	else
		read_images(tree, job);
	sort(job, tree);
	link_images(tree, job);
	link_parents(tree);
	find_root(tree, job);
	if (!entries)
		guess_outside(tree, job);
	add_leaders(tree, job);
}

/* ---- planning ---- */

static void make_by(struct tree_node *maker, struct tree_node *n)
{
	n->maker = maker;
	if (maker->made_last)
		maker->made_last->made_next = n;
	else
		maker->made = n;
	maker->made_last = n;
}

/* Between two calls of this its session is the same. */
static int stands_in(const struct tree_node *n, int32_t session)
{
	return n->birth == session || n->sid == session;
}

/* The session that a process must be made in, -1: whichever. Who makes a
 * session itself does not care, but a child of it may: the one that is in a
 * third session was made before. */
static int32_t wanted_birth(const struct tree_node *n, int depth)
{
	const struct tree_node *child;
	int32_t session;

	if (n->sid != n->pid)
		return n->sid;
	for (child = n->children; child && depth < 64; child = child->sibling) {
		session = wanted_birth(child, depth + 1);
		if (session >= 0 && session != n->sid)
			return session;
	}
	return -1;
}

static int is_ancestor(const struct tree_node *above, const struct tree_node *n)
{
	while (n && n != above)
		n = n->parent;
	return n != NULL;
}

/* Where a session's leader is born: in one of its parent's sessions, the one
 * that a child of it wants, if any; or, as an orphan, in the one that a child
 * wants and that cannot have come after it. */
static int32_t leader_birth(const struct tree *tree, const struct tree_node *n)
{
	const struct tree_node *child, *leader;
	int32_t birth = n->parent->sid;
	int living = 0;

	for (child = n->children; child; child = child->sibling) {
		int32_t session = wanted_birth(child, 0);

		if (session < 0 || session == n->sid)
			continue;
		if (stands_in(n->parent, session))
			return session;
		leader = find(tree, session);
		if (!leader || living || is_ancestor(n, leader))
			continue;
		birth = session;
		living = leader->role != TREE_LEADER;
	}
	return birth;
}

static void plan_orphan(struct tree *tree, struct tree_node *n)
{
	struct tree_node *leader = find(tree, n->birth);
	struct tree_node *helper = node_add(tree, TREE_HELPER);

	if (!leader)
		leader = &tree->init;
	helper->sid = helper->birth = n->birth;
	helper->pgid = -1; /* no matter */
	helper->adopter = n->parent;
	n->parent->adopts = 1;
	/* A dead leader stands below all of the adopters. */
	if (leader->role == TREE_LEADER &&
	    (!leader->adopter || leader->adopter->depth < n->parent->depth))
		leader->adopter = n->parent;
	make_by(leader, helper);
	make_by(helper, n);
}

static void plan_child(struct tree *tree, struct tree_node *n)
{
	struct tree_node *parent = n->parent;

	n->depth = parent->depth + 1;
	n->own_session = n->sid == n->pid;
	n->birth = n->own_session ? leader_birth(tree, n) : n->sid;
	if (!stands_in(parent, n->birth)) {
		plan_orphan(tree, n);
		return;
	}
	n->early = parent->own_session && n->birth != parent->sid;
	make_by(parent, n);
}

/* Parents before their children: a list that grows while it is walked. */
static void plan_children(struct tree *tree)
{
	struct tree_node **list, *n;
	size_t count = 0, i;

	list = need(calloc(tree->count + 1, sizeof(*list)));
	list[count++] = &tree->init;
	for (i = 0; i < count; i++)
		for (n = list[i]->children; n; n = n->sibling) {
			plan_child(tree, n);
			list[count++] = n;
		}
	free(list);
}

static int is_above(const struct tree_node *above, const struct tree_node *n)
{
	int steps = 0; /* nonsense may go round: check_made() */

	while (n && n != above && ++steps < (1 << 20))
		n = n->maker;
	return n == above;
}

static void plan_leaders(struct tree *tree)
{
	size_t i;

	for (i = 0; i < tree->count; i++) {
		struct tree_node *n = tree->nodes[i], *leader;

		leader = find(tree, n->pgid);
		if (leader)
			leader->leads = 1;
		if (n->role != TREE_LEADER)
			continue;
		n->own_session = n->sid == n->pid;
		n->birth = n->own_session ? 0 : n->sid;
		/* Of a group: whoever leads the session it is in. */
		leader = n->own_session ? n->adopter : find(tree, n->sid);
		if (!leader || is_above(n, leader))
			leader = &tree->init;
		make_by(leader, n);
	}
}

/* The helper is no descendant of the adopter: somebody else who stands in that
 * session is, or was, and might have been the orphan's parent. */
static void move_helper(struct tree *tree, struct tree_node *helper)
{
	struct tree_node *n = NULL, **at;
	size_t i;

	for (i = 0; i < tree->count; i++) {
		n = tree->nodes[i];
		if (n->role != TREE_HELPER && stands_in(n, helper->birth) &&
		    is_above(helper->adopter, n) && !is_above(helper, n))
			break;
	}
	if (i == tree->count) {
		report("process %d: its parent is another one instead of %d, of whose descendants none is left in session %d",
		       helper->made->pid, helper->adopter->pid, helper->birth);
		return;
	}
	for (at = &helper->maker->made; *at != helper; at = &(*at)->made_next)
		;
	*at = helper->made_next;
	helper->made_next = n->made; /* any order will do */
	n->made = helper;
	helper->maker = n;
	helper->early = n->own_session && helper->birth != n->sid;
}

static void plan_helpers(struct tree *tree)
{
	size_t i;

	for (i = 0; i < tree->count; i++) {
		struct tree_node *n = tree->nodes[i];

		if (n->role == TREE_HELPER && !is_above(n->adopter, n))
			move_helper(tree, n);
	}
}

/* Everybody is made, by somebody who is made. */
static void check_made(const struct tree *tree, const struct job *job)
{
	const struct tree_node **list, *n;
	size_t count = 0, i;

	list = need(calloc(tree->count + 1, sizeof(*list)));
	list[count++] = &tree->init;
	for (i = 0; i < count; i++)
		for (n = list[i]->made; n; n = n->made_next)
			list[count++] = n;
	if (count != tree->count + 1)
		nonsense(job, "parents and sessions contradict each other around",
			 job_root(job)->process->pid);
	free(list);
}

/* Adopters are served from above, and each is one only then: an orphan comes
 * to the nearest. */
static void rank_adopters(struct tree *tree)
{
	const struct tree_node *above;
	size_t i;

	for (i = 0; i < tree->count; i++) {
		struct tree_node *n = tree->nodes[i];

		if (n->role == TREE_HELPER && tree->ranks == 0)
			tree->ranks = 1;
		if (!n->adopts)
			continue;
		n->rank = 1;
		for (above = n->maker; above != &tree->init;
		     above = above->maker)
			n->rank += (unsigned)above->adopts;
		if (n->rank >= tree->ranks)
			tree->ranks = n->rank + 1;
	}
	tree->helpers = need(calloc(tree->ranks + 1, sizeof(size_t)));
	for (i = 0; i < tree->count; i++) {
		struct tree_node *n = tree->nodes[i];

		if (n->role == TREE_HELPER)
			tree->helpers[n->adopter->rank]++;
	}
}

/* As far as it is about ckpt_restart's own session. */
static void take_our_place(struct tree *tree, const struct job *job)
{
	int32_t root = job_root(job)->process->pid;
	size_t i;

	for (i = 0; i < tree->count; i++) {
		struct tree_node *n = tree->nodes[i];

		if (!job->own_session && n->sid == root)
			n->sid = 0;
	}
	if (job->own_group && !job->own_session)
		tree->foreground = root;
	for (i = 0; i < tree->count; i++) {
		struct tree_node *n = tree->nodes[i];

		if (n->process && !n->sid && n->pgid &&
		    (n->process->process->flags & IMAGE_TTY_FOREGROUND))
			tree->foreground = n->pgid;
	}
}

void tree_plan(struct job *job)
{
	struct tree *tree = job->tree;

	take_our_place(tree, job);
	plan_children(tree);
	plan_leaders(tree);
	plan_helpers(tree);
	check_made(tree, job);
	rank_adopters(tree);
}

char *tree_stopped(const struct job *job)
{
	const struct tree *tree = job->tree;
	char *text = NULL;
	size_t i, size, length = 0;
	FILE *f = open_memstream(&text, &size);

	need(f);
	for (i = 0; i < tree->count; i++)
		if (tree->nodes[i]->stopped && tree->nodes[i]->process)
			length += (size_t)fprintf(f, "%s%d", length ? "," : "",
						  tree->nodes[i]->pid);
	fclose(f);
	if (length)
		return text;
	free(text);
	return NULL;
}
