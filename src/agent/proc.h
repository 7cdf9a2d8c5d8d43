/* SPDX-License-Identifier: MIT */
/* What /proc tells of a process. Results or -errno; nothing is kept. */
#ifndef AGENT_PROC_H
#define AGENT_PROC_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "wire/registry.h"

struct proc_stat {
	char state;
	pid_t ppid, pgid, sid; /* 0: in no namespace of ours */
	int wait_status;       /* of a zombie, 0 also when not allowed */
	unsigned flags; /* the kernel's */
	int threads;
	int processor;
	uint64_t start_time;
	uint64_t rss; /* bytes */
	char comm[24];
};

/* Of a thread, or with tid 0 of the whole process. */
int proc_stat(pid_t pid, pid_t tid, struct proc_stat *out);

struct proc_status {
	char state;		  /* of the main thread */
	uint64_t caught, ignored; /* bit n-1: signal n */
	uint64_t pending;	  /* for the main thread alone */
	pid_t tracer;
	uid_t user;	     /* whom files and /proc see: the fs uid */
	uint64_t rss_memory; /* bytes that no file holds: RssAnon, RssShmem */
};
int proc_status(pid_t pid, struct proc_status *out);

/* The text of a thread's /proc/PID/task/TID/status. Length or -errno. */
#define PROC_STATUS_MAX (1u << 20) /* with as many groups as can be */
int proc_status_text(pid_t pid, pid_t tid, char *text, size_t size);

/* 1: it has been killed or is in exit, though it may be there still. */
int proc_dying(pid_t pid);

/* The threads that still run, at most `max`, the leader first. */
int proc_threads(pid_t pid, pid_t *tids, int max);
/* All of them, in a list to be freed. Their number. */
int proc_all_threads(pid_t pid, pid_t **tids);
/* By a signal: all of its threads, but those that have ended. */
int proc_has_stopped(pid_t pid);
/* Calls found() with each number that is a name in a directory of /proc, and
 * with the directory. */
int proc_numbers(const char *path,
		 void (*found)(int dir, const char *name, void *data),
		 void *data);
/* Calls found() with each child of any of its threads. */
int proc_children(pid_t pid, void (*found)(pid_t child, void *data),
		  void *data);
/* Calls found() with each process there is, as far as we may see them. */
void proc_everybody(void (*found)(pid_t pid, void *data), void *data);
/* 1: a mapping of a file of that name; 0: none. */
int proc_maps(pid_t pid, const char *name);
/* 1: it has mapped the file that we have there. */
int proc_maps_ours(pid_t pid, const void *address);
/* 1: "NAME=value" is in the environment it was started with. */
int proc_environment(pid_t pid, const char *variable);
/* 1: the two share their memory (a vfork under way); 0 also when unknown. */
int proc_same_memory(pid_t a, pid_t b);
/* What keeps it from answering, in words: "is stopped by a signal ...". */
void proc_describe(pid_t pid, char *text, size_t size);
/* When a sleeping thread fell asleep: CLOCK_MONOTONIC ns, 0 if unknown.
 * *switches: how often it had by then. */
uint64_t proc_asleep_since(pid_t pid, pid_t tid, uint64_t *switches);
/* The system call that a thread sleeps in; nr -1: unknown. */
void proc_call(pid_t pid, pid_t tid, struct registry_call *call);
/* Clocks of different CPUs drift: measure anew from now on. */
void proc_clocks_forget(void);

#endif
