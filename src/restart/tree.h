/* SPDX-License-Identifier: MIT */
/*
 * The tree of processes: who they are, who makes whom and when, so that in the
 * end each has its old pid, parent, session and group. Read and planned in
 * ckpt_restart, where everything can still be refused; grown in the capsule.
 */
#ifndef TREE_H
#define TREE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "restart/job.h"

enum tree_role {
	TREE_INIT,    /* the capsule's init, above all others */
	TREE_PROCESS, /* has an image */
	TREE_ZOMBIE,  /* its parent has not waited for it yet */
	TREE_LEADER,  /* dead: a session or a group still bears its number */
	TREE_HELPER,  /* makes an orphan and ends, so that it is one */
};

struct tree_node {
	enum tree_role role;
	int32_t pid;		 /* 0: whichever */
	int32_t ppid, pgid, sid; /* as they shall be; 0: outside */
	int status;		 /* TREE_ZOMBIE: as of wait() */
	int stopped;
	char program[16];
	struct job_process *process; /* TREE_PROCESS */
	const json_t *entry; /* of the manifest, or NULL */

	/* Whose child it is in the end. */
	struct tree_node *parent, *children, *sibling;
	/* Who makes it. The one is the other, but for orphans. */
	struct tree_node *maker, *made, *made_last, *made_next;
	int depth;	    /* below init, in the end */
	int32_t birth;	    /* the session it is made in */
	int early;	    /* before its maker's setsid() */
	int own_session;    /* calls setsid() */
	int leads;	    /* somebody is in the group of its number */
	int adopts;	    /* orphans come to it: a subreaper */
	unsigned rank;	    /* of an adopter, from above; init: 0 */
	struct tree_node *adopter; /* TREE_HELPER: of what it makes;
				    * TREE_LEADER: of the orphans */
	pid_t made_pid;	    /* in its maker: what it got */
};

struct tree_meeting {
	uint32_t gate;	  /* meetings that have taken place */
	uint32_t arrived; /* of the one under way */
	uint32_t filled;  /* processes: see restore/bare.h */
};

struct tree {
	struct tree_node init;
	struct tree_node **nodes; /* all but init */
	size_t count;
	struct tree_node **by_pid; /* those with a pid, ascending */
	size_t by_pid_count;
	size_t *helpers;	 /* by rank of their adopter */
	unsigned ranks;		 /* 0: no orphan needs a helper */
	int32_t foreground;	 /* the terminal's group; 0: leave it */
	uint32_t processes;	      /* of `nodes`, who have images */
	struct tree_meeting *meeting; /* shared; a page of its own */
};

/* Reads the manifest's tree (or what the images tell, when there is none),
 * finds the root process and makes it the job's first. By fail(). */
void tree_read(struct job *job);
/* Decides who makes whom; after watch_decide_place(). By fail(). */
void tree_plan(struct job *job);
/* In the capsule's init: makes all of it. Returns in init, when every process
 * has its place; idle() is called now and then while others are awaited. */
void tree_grow(struct job *job, const char *group_dir, int caps_keep,
	       void (*idle)(void));
/* The pids of stopped processes, comma-separated; NULL: there are none. */
char *tree_stopped(const struct job *job);

/* A child like fork()'s, with this pid (0: any). */
pid_t tree_fork(pid_t pid, int exit_signal);

#endif
