/* SPDX-License-Identifier: MIT */
/*
 * The capsule: the namespaces in which a restarted job finds its ids again,
 * and the messages between ckpt_restart and the capsule's init.
 */
#ifndef CAPSULE_H
#define CAPSULE_H

#include <stdint.h>
#include <sys/types.h>

enum capsule_message_type {
	CAPSULE_HELLO = 1, /* from a restored process: its pid is in the
			    * credentials, translated by the kernel */
	CAPSULE_REPORT,	   /* a line for the user */
	CAPSULE_GROUP,	   /* text: the host group's folder */
	CAPSULE_STARTED,   /* all processes have been made */
	CAPSULE_STOPPED,   /* the root process; status: the signal */
	CAPSULE_CONTINUED,
	CAPSULE_EXITED,	   /* status as of wait() */
	CAPSULE_ABORT,	   /* to init: end everything */
};

/* One datagram of the socket between them. */
struct capsule_message {
	uint32_t type;
	int32_t status;
	int32_t pid; /* as the capsule sees it */
	char text[468];
};

enum capsule_kind {
	CAPSULE_NONE,	   /* exact pids in place */
	CAPSULE_ROOT,	   /* without a user namespace */
	CAPSULE_USER,	   /* with one */
};

struct job;

struct capsule {
	enum capsule_kind kind;
	int has_time;	/* it has a clock of its own */
	pid_t init;	/* as ckpt_restart sees it */
	int socket;	/* to init: struct capsule_message */
	int errors;	/* the error pipe's read end */
	pid_t root;	/* the root process; 0: not known yet */
	char group_dir[96];
};

/* Makes the capsule and starts its init, which makes all processes. Fails by
 * fail(); returns in ckpt_restart only. */
void capsule_start(struct capsule *c, struct job *job);
/* Kill everything in it, wait for its end, remove its folder. */
void capsule_destroy(struct capsule *c);

/* init.c: the first process in the capsule. Never returns. */
_Noreturn void init_main(struct job *job, enum capsule_kind kind, int has_time,
			 int socket, int errors);

#endif
