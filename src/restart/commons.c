/* SPDX-License-Identifier: MIT */
/*
 * The commons: open file descriptions that more than one process has, and
 * those whose partners are in another process (the other end of a pipe). Init
 * makes them before it makes any process; these inherit them, at numbers above
 * all of theirs, and take what is theirs. What nobody else has to do with is
 * made by each process for itself.
 *
 * Who shares what is in the manifest ("shared", by the agent); a socket has an
 * inode of its own, so that needs no table. Who is whose partner the kinds
 * tell by their bonds().
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "restart/job.h"
#include "restart/kinds.h"
#include "restart/restore.h"
#include "restart/say.h"

#define NONE ((size_t)-1)
#define BOND_SAME (1ull << 32) /* in a bond's kind */

/* One record of one process. Two forests: of records of one description, and
 * of all that has to be made at one place. */
struct node {
	struct job_object *object;
	struct job_process *process;
	size_t same, together;
	size_t next; /* of the same description; the root has the first */
	int spread;  /* of a root: is in the commons */
};

struct bond {
	uint64_t kind, what;
	size_t node;
};

struct ckpt_bonds {
	struct job *job;
	struct node *nodes;
	size_t count;
	size_t *first; /* node of each process's first object */
	struct bond *bonds;
	size_t bond_count;
	size_t at; /* whose bonds() is being asked */
	int told;  /* there is a table */
};

static void *need(void *memory)
{
	if (!memory)
		fail("out of memory while planning what processes share");
	return memory;
}

static void *array(size_t count, size_t size)
{
	return need(calloc(count + 1, size));
}

/* ---- forests ---- */

static size_t same_root(struct node *nodes, size_t i)
{
	while (nodes[i].same != i)
		i = nodes[i].same = nodes[nodes[i].same].same;
	return i;
}

static size_t together_root(struct node *nodes, size_t i)
{
	while (nodes[i].together != i)
		i = nodes[i].together = nodes[nodes[i].together].together;
	return i;
}

/* The lower one is the root: trees stay flat enough by halving. */
static void join_together(struct node *nodes, size_t a, size_t b)
{
	a = together_root(nodes, a);
	b = together_root(nodes, b);
	if (a < b)
		nodes[b].together = a;
	else
		nodes[a].together = b;
}

static int never_shared(const struct node *node)
{
	return kinds_restorer(node->object->kind)->never_shared;
}

static void join_same(struct node *nodes, size_t a, size_t b)
{
	if (never_shared(&nodes[a]) || never_shared(&nodes[b]))
		return;
	join_together(nodes, a, b);
	a = same_root(nodes, a);
	b = same_root(nodes, b);
	if (a < b)
		nodes[b].same = a;
	else
		nodes[a].same = b;
}

/* ---- who shares ---- */

static int process_order(const void *a, const void *b, void *job)
{
	const struct job_process *p = ((struct job *)job)->processes;
	int32_t x = p[*(const size_t *)a].process->pid;
	int32_t y = p[*(const size_t *)b].process->pid;

	return (x > y) - (x < y);
}

static size_t process_find(const struct job *job, const size_t *order,
			   int32_t pid)
{
	size_t low = 0, high = job->process_count;

	while (low < high) {
		size_t middle = (low + high) / 2;
		int32_t here = job->processes[order[middle]].process->pid;

		if (here == pid)
			return order[middle];
		if (here < pid)
			low = middle + 1;
		else
			high = middle;
	}
	return NONE;
}

/* Ascending in the image, as the kernel listed them. */
static const struct image_fd *fd_find(const struct job_process *p, int fd)
{
	size_t low = 0, high = p->fd_count, i;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (p->fds[middle]->fd == fd)
			return p->fds[middle];
		if (p->fds[middle]->fd < fd)
			low = middle + 1;
		else
			high = middle;
	}
	for (i = 0; i < p->inside_count; i++)
		if (p->inside[i]->fd == fd)
			return p->inside[i];
	return NULL;
}

/* [pid, fd] of the table; NONE: somebody without an image. */
static size_t entry_node(const struct ckpt_bonds *b, const size_t *order,
			 const json_t *entry)
{
	int32_t pid = (int32_t)json_integer_value(json_array_get(entry, 0));
	int fd = (int)json_integer_value(json_array_get(entry, 1));
	size_t process = process_find(b->job, order, pid);
	const struct job_process *p;
	const struct image_fd *record;

	if (process == NONE)
		return NONE;
	p = &b->job->processes[process];
	record = fd_find(p, fd);
	if (!record)
		return NONE;
	return b->first[process] +
	       (size_t)(job_process_object(p, record->object) - p->objects);
}

static void read_group(struct ckpt_bonds *b, const size_t *order,
		       const json_t *group)
{
	const json_t *shared = json_object_get(group, "shared");
	const json_t *class, *entry;
	size_t i, k;

	b->told |= shared != NULL;
	json_array_foreach(shared, i, class) {
		size_t first = NONE;

		json_array_foreach(class, k, entry) {
			size_t node = entry_node(b, order, entry);

			if (node == NONE)
				continue;
			if (first == NONE)
				first = node;
			else if (b->nodes[first].object->kind ==
				 b->nodes[node].object->kind)
				join_same(b->nodes, first, node);
		}
	}
}

static void read_table(struct ckpt_bonds *b)
{
	const json_t *groups = json_object_get(b->job->manifest, "groups");
	const json_t *group;
	size_t *order = array(b->job->process_count, sizeof(*order)), i;

	for (i = 0; i < b->job->process_count; i++)
		order[i] = i;
	qsort_r(order, b->job->process_count, sizeof(*order), process_order,
		b->job);
	json_array_foreach(groups, i, group)
		read_group(b, order, group);
	free(order);
}

/* ---- who belongs together ---- */

static void bond_add(struct ckpt_bonds *b, uint64_t kind, uint64_t what)
{
	if (!(b->bond_count & (b->bond_count - 1)))
		b->bonds = need(realloc(b->bonds,
					(b->bond_count ? 2 * b->bond_count : 1) *
						sizeof(*b->bonds)));
	b->bonds[b->bond_count++] = (struct bond){kind, what, b->at};
}

void ckpt_bond(struct ckpt_bonds *b, uint64_t what)
{
	bond_add(b, b->nodes[b->at].object->kind, what);
}

void ckpt_bond_object(struct ckpt_bonds *b, uint32_t id)
{
	const struct node *node = &b->nodes[b->at];
	const struct job_object *o = job_process_object(node->process, id);

	if (o && !kinds_restorer(o->kind)->never_shared)
		join_together(b->nodes, b->at,
			      b->first[node->process - b->job->processes] +
				      (size_t)(o - node->process->objects));
}

void ckpt_bond_same(struct ckpt_bonds *b, uint64_t what, int sure)
{
	if (sure || !b->told)
		bond_add(b, b->nodes[b->at].object->kind | BOND_SAME, what);
}

void ckpt_bond_commons(struct ckpt_bonds *b)
{
	b->nodes[b->at].spread = 1;
}

void ckpt_bond_terminal(struct ckpt_bonds *b, int session)
{
	struct job *job = b->job;

	job->terminals = 1;
	if (session <= 0)
		return;
	ckpt_bond_commons(b);
	job->sessions = need(realloc(job->sessions, (job->session_count + 1) *
							    sizeof(int32_t)));
	job->sessions[job->session_count++] = session;
}

static int bond_order(const void *a, const void *b)
{
	const struct bond *x = a, *y = b;

	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	if (x->what != y->what)
		return x->what < y->what ? -1 : 1;
	return (x->node > y->node) - (x->node < y->node);
}

static void ask_bonds(struct ckpt_bonds *b)
{
	size_t i;

	for (b->at = 0; b->at < b->count; b->at++) {
		const struct job_object *o = b->nodes[b->at].object;
		const struct ckpt_restorer *k = kinds_restorer(o->kind);
		struct ckpt_object object = {
			.id = o->record->id,
			.kind = o->kind,
			.status_flags = o->record->status_flags,
			.dev = o->record->dev,
			.ino = o->record->ino,
			.body = o->body,
			.length = o->length,
			.first_fd = o->first_fd,
			.pid = o->origin->process->pid,
			.label = o->label,
		};

		if (k->bonds)
			k->bonds(&object, b);
	}
	if (b->bond_count)
		qsort(b->bonds, b->bond_count, sizeof(*b->bonds), bond_order);
	for (i = 1; i < b->bond_count; i++) {
		const struct bond *one = &b->bonds[i - 1];
		const struct bond *other = &b->bonds[i];

		if (one->kind != other->kind || one->what != other->what)
			continue;
		if (one->kind & BOND_SAME)
			join_same(b->nodes, one->node, other->node);
		else
			join_together(b->nodes, one->node, other->node);
	}
}

/* ---- the commons ---- */

/* What is spread over several processes; then all that goes with it. */
static void find_spread(struct ckpt_bonds *b)
{
	struct node *nodes = b->nodes;
	size_t i, root;

	for (i = 0; i < b->count; i++) {
		root = together_root(nodes, i);
		if (nodes[root].process != nodes[i].process || nodes[i].spread)
			nodes[root].spread = 1;
	}
	for (i = 0; i < b->count; i++)
		nodes[i].spread = nodes[together_root(nodes, i)].spread &&
				  !never_shared(&nodes[i]);
}

/* Whose record stands for all: rather one of a standard stream, which may
 * have come from outside, then the first process's. */
static int better(const struct node *a, const struct node *b)
{
	int x = (unsigned)a->object->first_fd <= 2;
	int y = (unsigned)b->object->first_fd <= 2;

	return x != y ? x > y : a < b;
}

static void common_add(struct ckpt_bonds *b, size_t *members, size_t count)
{
	struct job_process *commons = &b->job->commons;
	struct job_object *o = &commons->objects[commons->object_count];
	struct image_object *record = need(malloc(sizeof(*record)));
	size_t i, best = 0;

	for (i = 1; i < count; i++)
		if (better(&b->nodes[members[i]], &b->nodes[members[best]]))
			best = i;
	i = members[0];
	members[0] = members[best];
	members[best] = i;
	*o = *b->nodes[members[0]].object;
	*record = *o->record;
	record->id = (uint32_t)++commons->object_count;
	o->record = record;
	o->members = array(count, sizeof(*o->members));
	o->member_count = count;
	for (i = 0; i < count; i++) {
		o->members[i] = b->nodes[members[i]].object;
		o->members[i]->common = o;
	}
}

static void fill_commons(struct ckpt_bonds *b)
{
	size_t *members = array(b->count, sizeof(*members)), count, i, at;
	struct node *nodes = b->nodes;

	/* One list for each description, that begins at its root. */
	for (i = b->count; i-- > 0;) {
		size_t root = same_root(nodes, i);

		if (i == root)
			continue;
		nodes[i].next = nodes[root].next;
		nodes[root].next = i;
	}
	for (i = 0; i < b->count; i++) {
		if (!nodes[i].spread || same_root(nodes, i) != i)
			continue;
		count = 0;
		for (at = i; at != NONE; at = nodes[at].next)
			members[count++] = at;
		common_add(b, members, count);
	}
	free(members);
}

static void make_nodes(struct ckpt_bonds *b)
{
	struct job *job = b->job;
	size_t i, k;

	b->first = array(job->process_count, sizeof(*b->first));
	for (i = 0; i < job->process_count; i++)
		b->count += job->processes[i].object_count;
	b->nodes = array(b->count, sizeof(*b->nodes));
	b->count = 0;
	for (i = 0; i < job->process_count; i++) {
		struct job_process *p = &job->processes[i];

		b->first[i] = b->count;
		for (k = 0; k < p->object_count; k++) {
			p->objects[k].origin = p;
			b->nodes[b->count] = (struct node){
				.object = &p->objects[k],
				.process = p,
				.same = b->count,
				.together = b->count,
				.next = NONE,
			};
			b->count++;
		}
	}
}

void commons_plan(struct job *job)
{
	struct ckpt_bonds b = {.job = job};
	size_t i, k;

	make_nodes(&b);
	read_table(&b);
	ask_bonds(&b);
	find_spread(&b);
	job->commons.name = "what processes share";
	job->commons.objects = array(b.count, sizeof(struct job_object));
	fill_commons(&b);
	job->commons_end = 3;
	for (i = 0; i < job->process_count; i++)
		for (k = 0; k < job->processes[i].fd_count; k++)
			if (job->processes[i].fds[k]->fd >= job->commons_end)
				job->commons_end =
					job->processes[i].fds[k]->fd + 1;
	free(b.nodes);
	free(b.first);
	free(b.bonds);
}

/* The processes inherit this, too. */
static struct ckpt_restore restore;

void commons_make(struct job *job)
{
	if (job->commons.object_count || job->groups > 1)
		descriptors_share(&restore, job);
}

int commons_has_terminal(const struct job *job, int32_t session)
{
	size_t i;

	for (i = 0; i < job->session_count; i++)
		if (job->sessions[i] == session)
			return 1;
	return 0;
}

void commons_lead_session(struct job *job)
{
	size_t i;

	if (!commons_has_terminal(job, getpid()))
		return;
	for (i = 0; i < job->commons.object_count; i++) {
		const struct ckpt_object *object = &restore.views[i];
		const struct ckpt_restorer *k = kinds_restorer(object->kind);

		if (k->session)
			k->session(&restore, object, restore.made[i]);
	}
}
