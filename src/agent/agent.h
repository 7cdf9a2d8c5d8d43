/* SPDX-License-Identifier: MIT */
/*
 * ckpt_agent: looks after one host group, the processes that see each other's
 * pids. It owns the group's folder and registry, pokes, relays the phases of
 * a checkpoint between the coordinator and the processes, keeps files in the
 * store, commits generations, and ends when no process is left.
 *
 *	main.c		options, becoming a daemon, when to end
 *	group.c		the folder: lock, sockets, registry
 *	ids.c		whom root's processes have become
 *	members.c	the processes of the registry, and the foreign ones
 *	checkpoint.c	the phases of a checkpoint
 *	rebirth.c	a restarted group on its way back
 *	service.c	connections of service threads and writers
 *	uplink.c	the coordinator
 *	poke.c		the signal that starts it
 *	generation.c	folders, manifest, pruning
 *	store.c		the content-addressed files
 *	worker.c	the thread for what may block
 *	loop.c, proc.c
 */
#ifndef AGENT_H
#define AGENT_H

#include <stdint.h>
#include <sys/types.h>

#include "wire/registry.h"

enum agent_exit {
	AGENT_THERE = 3, /* the group has an agent, which knows --for-pid now */
	AGENT_FAILED = 99,
};

/* Set once by main.c. */
struct agent {
	const char *group_dir; /* absolute */
	const char *coordinator, *computation;
	int ready_fd; /* -1 when told */
	int capsule;
	int index; /* of the group in the checkpoint it comes from; or -1 */
	unsigned expect; /* so many REBORN before the group is back */
	unsigned life;	 /* image_rebirth.life they must carry; 0: any */
	const char *stopped; /* "PID,PID": go back as stopped; or NULL */
	pid_t for_pid;	 /* about to become our first process */
	pid_t init;	 /* of the capsule: its orphans' parent; or 0 */

	/* group.c */
	int dir_fd, lock_fd, registry_fd, listen_fd;
	int others_fd; /* of root: where its members of other users call; or -1 */
	struct registry_header *registry;
	int is_new; /* nobody was here before us */
};
extern struct agent agent;

/* Somebody else (GUEST) is about to become a process of the group. */
void agent_await(pid_t pid);
/* ... and here it is. */
void agent_came(pid_t pid);
/* The coordinator knows of us: those who wait for that may go on. */
void agent_known(void);
/* Asked whenever something has ended; the loop's idle() acts on it. */
void agent_check_end(void);
/* The coordinator is ending: it need not hear of our end any more. */
void agent_dismiss(void);

/* group.c */
/* 0; -EWOULDBLOCK: another agent has it, and knows --for-pid now; or -errno,
 * the reason is on stderr. */
int group_open(void);
/* Serve: agent.sock is there from now on. */
int group_listen(void);
/* Nobody is left: remove what group_open() made. */
void group_remove(void);

#endif
