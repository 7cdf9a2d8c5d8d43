/* SPDX-License-Identifier: MIT */
/*
 * The planner of the tree, against a model of what the kernel does: processes
 * live at random for a while (fork, make sessions and groups, become
 * subreapers, end, are waited for); what is left is read and planned; the plan
 * is carried out in the same model, and everybody must have the parent, group
 * and session that he had.
 */
#include "restart/job.h"
#include "restart/say.h"
#include "restart/tree.h"

#include <check.h> /* behind say.h: it has a macro fail() */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST 4000
#define FIRST_PID 100

enum state { NOBODY, RUNS, ZOMBIE };

/* Index: the pid. 1: init, in session and group 0. */
static struct process {
	enum state state;
	int ppid, pgid, sid, subreaper;
	int status;
} model[MOST];
static int last;

static unsigned random_state;

static unsigned any(unsigned below)
{
	random_state = random_state * 1103515245u + 12345u;
	return (random_state >> 16) % below;
}

/* ---- the kernel ---- */

static void model_start(void)
{
	memset(model, 0, sizeof(model));
	model[1].state = RUNS;
	last = FIRST_PID - 1;
}

static int model_fork(int parent, int pid)
{
	ck_assert_int_lt(pid, MOST);
	ck_assert_int_eq(model[pid].state, NOBODY);
	model[pid] = model[parent];
	model[pid].ppid = parent;
	model[pid].subreaper = 0;
	if (pid > last)
		last = pid;
	return pid;
}

static int group_is_there(int pgid, int sid)
{
	int i;

	for (i = FIRST_PID; i <= last; i++)
		if (model[i].state && model[i].pgid == pgid &&
		    (sid < 0 || model[i].sid == sid))
			return 1;
	return 0;
}

static int model_setsid(int pid)
{
	if (group_is_there(pid, -1))
		return -1;
	model[pid].sid = model[pid].pgid = pid;
	return 0;
}

static int model_setpgid(int pid, int pgid)
{
	if (model[pid].sid == pid)
		return -1;
	if (pgid != pid && !group_is_there(pgid, model[pid].sid))
		return -1;
	model[pid].pgid = pgid;
	return 0;
}

static void model_end(int pid, int status)
{
	int i, above = model[pid].ppid;

	while (above != 1 && !model[above].subreaper)
		above = model[above].ppid;
	for (i = FIRST_PID; i <= last; i++)
		if (model[i].state && model[i].ppid == pid) {
			model[i].ppid = above;
			if (above == 1 && model[i].state == ZOMBIE)
				model[i].state = NOBODY;
		}
	model[pid].status = status;
	model[pid].state = model[pid].ppid == 1 ? NOBODY : ZOMBIE;
}

/* ---- what has happened ---- */

static int somebody(void)
{
	int pid, tries;

	for (tries = 0; tries < 100; tries++) {
		pid = FIRST_PID + (int)any((unsigned)(last - FIRST_PID + 1));
		if (model[pid].state == RUNS)
			return pid;
	}
	return 0;
}

static void happen(int subreapers)
{
	int pid = somebody(), other;

	if (!pid)
		return;
	switch (any(12)) {
	case 0: case 1: case 2: case 3: case 4:
		model_fork(pid, last + 1);
		break;
	case 5:
		model_setsid(pid);
		break;
	case 6:
		model_setpgid(pid, pid);
		break;
	case 7:
		other = somebody();
		if (other && model[other].sid == model[pid].sid &&
		    model[other].pgid)
			model_setpgid(pid, model[other].pgid);
		break;
	case 8:
		if (subreapers && any(3) == 0)
			model[pid].subreaper = 1;
		break;
	case 9: case 10:
		if (pid != FIRST_PID)
			model_end(pid, (int)any(256) << 8);
		break;
	default:
		for (other = FIRST_PID; other <= last; other++)
			if (model[other].state == ZOMBIE && any(2))
				model[other].state = NOBODY;
	}
}

/* ---- the checkpoint ---- */

static struct process then[MOST];
static struct image_process records[MOST];
static struct job_process processes[MOST];

static void checkpoint(struct job *job, struct options *options)
{
	json_t *tree = json_array();
	int pid;

	memset(job, 0, sizeof(*job));
	memset(records, 0, sizeof(records));
	memset(processes, 0, sizeof(processes));
	memcpy(then, model, sizeof(then));
	job->options = options;
	job->generation_dir = (char *)"here";
	job->processes = processes;
	for (pid = FIRST_PID; pid <= last; pid++) {
		const struct process *p = &model[pid];
		struct image_process *record;

		if (!p->state)
			continue;
		json_array_append_new(
			tree,
			json_pack("{s:i, s:i, s:i, s:i, s:s, s:i, s:s}", "pid",
				  pid, "ppid", p->ppid == 1 ? 0 : p->ppid,
				  "pgid", p->pgid, "sid", p->sid, "state",
				  p->state == ZOMBIE ? "zombie" : "running",
				  "status", p->status, "program", "x"));
		if (p->state == ZOMBIE)
			continue;
		record = &records[job->process_count];
		record->pid = pid;
		record->start_time = (uint64_t)pid;
		processes[job->process_count++].process = record;
	}
	job->manifest = json_pack("{s:[{s:o}]}", "groups", "tree", tree);
	job->own_session = model[FIRST_PID].sid == FIRST_PID;
	job->own_group = model[FIRST_PID].pgid == FIRST_PID;
}

/* ---- the restart ---- */

static int number_of(struct tree_node *n)
{
	return n->role == TREE_INIT ? 1 : n->pid;
}

static void make(struct tree_node *n)
{
	struct tree_node *child;

	for (child = n->made; child; child = child->made_next)
		if (child->early) {
			model_fork(number_of(n), child->pid);
			make(child);
		}
	if (n->own_session)
		ck_assert_int_eq(model_setsid(n->pid), 0);
	for (child = n->made; child; child = child->made_next)
		if (!child->early) {
			if (!child->pid)
				child->pid = last + 1;
			model_fork(number_of(n), child->pid);
			make(child);
		}
}

static void join(const struct tree_node *n)
{
	if (n->pgid > 0 && n->pgid != model[n->pid].pgid)
		ck_assert_int_eq(model_setpgid(n->pid, n->pgid), 0);
}

static void restart(struct job *job)
{
	struct tree *tree = job->tree;
	struct tree_node *n;
	unsigned rank;
	size_t i;

	model_start();
	last = MOST / 2; /* helpers come behind */
	make(&tree->init);
	for (i = 0; i < tree->count; i++) {
		n = tree->nodes[i];
		if (n->leads && !n->own_session)
			ck_assert_int_eq(model_setpgid(n->pid, n->pid), 0);
	}
	for (i = 0; i < tree->count; i++)
		if (!tree->nodes[i]->leads || tree->nodes[i]->own_session)
			join(tree->nodes[i]);
	for (i = 0; i < tree->count; i++)
		join(tree->nodes[i]);
	for (rank = 0; rank < tree->ranks; rank++) {
		for (i = 0; i < tree->count; i++) {
			n = tree->nodes[i];
			model[n->pid].subreaper = rank && n->adopts &&
						  n->rank == rank;
		}
		for (i = 0; i < tree->count; i++) {
			n = tree->nodes[i];
			if (n->role == TREE_HELPER && n->adopter->rank == rank) {
				model_end(n->pid, 0);
				model[n->pid].state = NOBODY;
			}
		}
	}
	for (i = 0; i < tree->count; i++) {
		n = tree->nodes[i];
		model[n->pid].subreaper = 0;
		if (n->role == TREE_LEADER) {
			model_end(n->pid, 0);
			model[n->pid].state = NOBODY;
		}
		if (n->role == TREE_ZOMBIE)
			model_end(n->pid, n->status);
	}
}

/* Returns how many have another parent than before. */
static int compare(unsigned seed)
{
	int pid, adopted = 0;

	for (pid = FIRST_PID; pid < MOST; pid++) {
		const struct process *a = &then[pid], *b = &model[pid];

		if (a->state == ZOMBIE && a->ppid != 1 && !b->state) {
			adopted++; /* init has waited for it */
			continue;
		}
		ck_assert_msg(a->state == b->state,
			      "seed %u: process %d: state %d, was %d", seed,
			      pid, b->state, a->state);
		if (!a->state)
			continue;
		ck_assert_msg(a->sid == b->sid && a->pgid == b->pgid,
			      "seed %u: process %d: session %d, group %d; were %d, %d",
			      seed, pid, b->sid, b->pgid, a->sid, a->pgid);
		adopted += a->ppid != b->ppid;
	}
	return adopted;
}

static int live_and_restart(unsigned seed, unsigned length, int subreapers)
{
	struct options options = {0};
	struct job job;
	unsigned i;

	random_state = seed;
	model_start();
	model_fork(1, FIRST_PID);
	if (any(2))
		model_setpgid(FIRST_PID, FIRST_PID);
	else if (any(4) == 0)
		model_setsid(FIRST_PID);
	for (i = 0; i < length; i++)
		happen(subreapers);
	checkpoint(&job, &options);
	tree_read(&job);
	ck_assert_int_eq(job_root(&job)->process->pid, FIRST_PID);
	tree_plan(&job);
	restart(&job);
	json_decref(job.manifest);
	return compare(seed);
}

START_TEST(everybody_is_back)
{
	unsigned seed;

	for (seed = 1; seed <= 2000; seed++)
		ck_assert_msg(live_and_restart(seed, 10 + seed % 300, 0) == 0,
			      "seed %u: somebody has another parent", seed);
}
END_TEST

/* An orphan whose session nobody of below its subreaper is in any more may
 * come to another one; that is told, and rare. */
START_TEST(subreapers_have_their_orphans)
{
	unsigned seed;
	int strayed = 0;

	for (seed = 1; seed <= 2000; seed++)
		strayed += live_and_restart(seed, 10 + seed % 300, 1);
	ck_assert_int_lt(strayed, 10);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("tree");
	TCase *tcase = tcase_create("plan");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, everybody_is_back);
	tcase_add_test(tcase, subreapers_have_their_orphans);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
