/* SPDX-License-Identifier: MIT */
/*
 * The checkpoint under way, as the files that carry it out share it:
 *
 *	checkpoint.c	what the coordinator says; when a phase is done
 *	prepare.c	options, folders, strangers
 *	stop.c		pokes, until everybody is parked
 *	part.c		one process: its service thread's side of the talk
 *	writer.c	one image
 *	files.c		what goes into the store
 *	figures.c	what the coordinator hears
 *	remotes.c	connections to other host groups
 *	tree.c		who is whose child
 *	descriptors.c	who shares which descriptor
 *	ending.c	failure and abort: everything is undone
 *
 * Event loop only, except where a job of the worker is said to hold a part.
 */
#ifndef AGENT_NOW_H
#define AGENT_NOW_H

#include <jansson.h>
#include <limits.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/generation.h"
#include "agent/loop.h"
#include "agent/members.h"
#include "agent/store.h"
#include "agent/worker.h"
#include "wire/phases.h"
#include "wire/service.h"

struct service;

enum part_state {
	PART_WAITING, /* to be poked, or poked */
	PART_BEGUN,   /* HELLO came, BEGIN has been sent */
	PART_PARKED,
	PART_CAPTURING,
	PART_CAPTURED,
	PART_SNAPSHOTTING,
	PART_SNAPSHOTTED,
	PART_RELEASING, /* RELEASE or ABORT has been sent */
	PART_RELEASED,
};

enum writer_state {
	WRITER_NONE,
	WRITER_BUSY,
	WRITER_CHECKING, /* WRITTEN came; the worker looks at the image */
	WRITER_SAFE,
};

struct part {
	struct part *next, *same; /* same: of its bucket */
	struct member *member; /* NULL: it has died */
	pid_t pid, ppid;
	char program[24];
	enum part_state state;
	struct service *service; /* NULL: none, or gone */
	int stopped;		 /* by a signal, when we last looked */
	int woken;		 /* ... by us: it has to stop again */
	int serves;		 /* accepts TCP connections: it stops last */
	unsigned pokes;
	uint64_t poke_due;

	struct service *writer;
	enum writer_state writer_state;
	pid_t writer_pid; /* 0: a thread of the process */
	int writer_pidfd;
	int writer_end; /* of its socket, until BEGIN; or -1 */

	int image_fd, image_named;
	char image_name[48];
	struct worker_job image_job;
	int image_result;
	char image_why[512];

	int is_hidden;	  /* its descriptors cannot be seen */
	pid_t inside_tid; /* its table has what is in sockets; 0: none */
	uint32_t threads;
	uint64_t park_ns, bytes, stopped_ns, raw, stored;
	struct service_written written;
};

enum file_state {
	FILE_WAITING, /* for the release */
	FILE_COPYING,
	FILE_COPIED, /* safe, without a name */
	FILE_KEPT,
};

enum checkpoint_state {
	IDLE,
	RUNNING, /* `phase` is under way, or done if phase_done */
	ENDING,	 /* failed or aborted: being undone */
};

struct checkpoint {
	enum checkpoint_state state;
	enum wire_phase phase;
	int phase_done;
	json_int_t request; /* the coordinator's */
	uint32_t number;    /* the registry's */
	int abort_asked;    /* by the coordinator: it wants an answer */
	int undone;	    /* ENDING has come to its end */

	/* Of PREPARE. */
	uint32_t compress, threads, sync, rollback, stop_ms, capture_ms, keep;
	int hold, ignore_foreign;
	int gentle; /* who accepts connections gets the time to do so */
	int group, groups; /* our place among so many */
	uint32_t number_of_generation;
	enum wire_phase fault_phase;
	int fault_error;

	struct part *parts;
	struct store_file *files;
	unsigned copying; /* files in the worker's hands */
	json_t *warnings, *manifest;
	struct generation generation;
	struct worker_job job; /* prepare, commit, undo: never two at once */
	int job_busy, job_result;
	char dir[PATH_MAX]; /* of the generation */
	uint64_t memory;    /* of the processes, for the space on disk */

	uint64_t phase_began; /* loop_now() */
	uint64_t hello_at;    /* of the last one that came */
	uint64_t poke_ms;     /* no answer for so long: poke again */
	uint64_t looked;      /* for strangers, the first time; 0: not yet */
	struct members_pending pending; /* as the last look left them */
	uint64_t tick_ms;
	uint64_t told; /* bytes of the last PROGRESS */
	struct loop_timer tick, deadline, progress;
};
extern struct checkpoint now;

/* checkpoint.c: called whenever anything has come nearer to its end. */
void checkpoint_advance(void);
/* A phase that takes longer fails, naming who is late. */
void checkpoint_deadline(uint32_t ms);

/* prepare.c */
void prepare_begin(const json_t *body);
int prepare_fault(void); /* 1: CKPT_FAULT made the phase fail */
/* Fails, naming who does not get to be one that can be stopped. */
void prepare_pending(void);

/* stop.c */
void stop_begin(void);
/* Who is new since the last look takes part too. 1: somebody is, or will be
 * as soon as it is ready. */
int stop_gather(void);
uint32_t stop_parking_ms(void); /* what is left, for a process */
void stop_request_clear(void);	/* pokes are stale from now on */

/* part.c */
struct part *part_add(struct member *m); /* NULL: no memory */
struct part *part_find(pid_t pid);
void part_hello(struct service *service, const struct service_hello *hello);
void part_member_died(struct member *m);
void part_failed(struct part *p, const struct service_message *message);
void part_free_all(void);
int part_all(enum part_state least);
void part_tell_all(enum service_type type, enum part_state next);
void part_abort(struct part *p);
/* Who has been woken has stopped again, or does not soon. */
void part_await_stopped(void);
void part_service_leave(struct part *p);

/* writer.c */
/* The image and a socket, while the process still runs; and BEGIN. 0 or
 * -errno: BEGIN tries again. */
int writer_prepare(struct part *p);
int writer_begin(struct part *p);
void writer_watch(struct part *p, pid_t pid);
int writer_is(pid_t pid); /* one that we know */
void writer_close(struct part *p);
void writer_image_close(struct part *p);
void writer_or_writer_or_part_failed(struct part *p,
				     const struct service_message *message);

/* files.c */
void files_came(const struct service_file *said, int fd);
void files_keep(void); /* after the release: copy the others, name all */
void files_free(void);

/* figures.c */
void figures_done(const char *phase, json_t *figures);
void figures_progress(void); /* if there is any */
json_t *figures_stop(void);
json_t *figures_capture(void);

/* While everybody is parked; then [{pid, ppid, pgid, sid, state, status,
 * program}] of all processes, zombies too. See HACKING.md. */
void tree_look(void);
json_t *tree_report(void);
void tree_forget(void);
/* descriptors.c: all are looked at once, in STOP or later. Compared in CAPTURE;
 * then [[[pid, fd], ...], ...], the open file descriptions that more than one
 * process holds. */
void descriptors_look(void);
int descriptors_sockets(void (*found)(ino_t ino)); /* -ENOMEM: not all */
void descriptors_compare(void);
json_t *descriptors_shared(void);
void descriptors_forget(void);
/* ids.c: [{tids, uid, gid, groups, ...}], or NULL: nothing to tell. */
json_t *ids_report(pid_t pid);

/* remotes.c: for "remotes" of STOP and of CAPTURE, see HACKING.md. */
json_t *remotes_report(void);
void remotes_take(const json_t *answers);
void remotes_free(void);
/* Sets part.serves. */
void remotes_find_servers(void);
/* Connections of this host that nobody has accepted. */
uint64_t remotes_waiting(void);

json_t *figures_release(void);
json_t *figures_write(void);

/* ending.c: the first failure is the reason; the rest is undone. */
void ending_fail(const struct part *p, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
void ending_fail_text(pid_t pid, const char *program, int error,
		      const char *text);
void ending_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
void ending_begin(void);
void ending_step(void); /* something has ended: go on with it */
void ending_answer(void);
void ending_finish(void); /* back to IDLE */

#endif
