/* SPDX-License-Identifier: MIT */
/*
 * What is to be restarted: the manifest and all images of one generation,
 * read and checked. Built by ckpt_restart before anything is created; every
 * process it forks has its own copy and only reads it.
 */
#ifndef JOB_H
#define JOB_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "image/format.h"
#include "image/reader.h"
#include "restart/options.h"

struct job_ids;
struct job_process;
struct tree;

/* A file of the computation, one for each dev:ino over all images. Decided by
 * files.c; see there. */
enum file_state {
	FILE_UNDECIDED,
	FILE_IN_PLACE,	 /* the path leads to the right content */
	FILE_FROM_STORE, /* the store's copy stands for it, read-only */
	FILE_HELD,	 /* nameless or shared memory: `fd` is it */
	FILE_UNAVAILABLE,
};

#define JOB_FILE_BUCKETS 1021

struct job_file {
	struct job_file *next; /* of its bucket */
	const struct image_file *record; /* what all images say of it */
	struct image_file merged;
	char *path;	     /* without " (deleted)" */
	char *store;	     /* path of its copy in store/, NULL: none */
	enum file_state mapped; /* for private mappings: the exact content */
	enum file_state opened; /* for descriptors */
	int is_mapped, is_opened, is_exe; /* who needs it */
	int is_executed;     /* it is mapped, and so that it can run */
	int is_shared;	     /* it is mapped shared: written without a trace */
	int fd;		     /* FILE_HELD, else -1 */
	int displaced;	     /* roll it back: files_apply() */
	char why[256];	     /* FILE_UNAVAILABLE: the reason, with remedy */
};

struct job_thread {
	const struct image_thread *record;
};

struct job_area {
	const struct image_area *record;
	const struct image_guard *guards;
	const char *name; /* name_length bytes */
	struct job_file *file;
};

struct job_object {
	uint32_t kind;
	const struct image_object *record;
	const void *body; /* behind it */
	size_t length;
	struct job_file *file;
	int first_fd; /* -1: none */
	char *label;

	/* By commons.c. */
	const struct job_process *origin; /* whose record it is */
	struct job_object *common; /* what stands for it in job->commons */
	struct job_object **members; /* of the commons: for whom it stands, */
	size_t member_count;	     /* one a process; the first is the origin */
};

/* A record of a kind that is no descriptor, for its hooks. */
struct job_state {
	uint32_t kind;
	const void *body;
	size_t length;
};

struct job_process {
	struct image_reader reader; /* its file is not open: images_wake() */
	uint64_t dev, ino;	    /* of that */
	uint32_t owner;
	char *name; /* of the image file, for messages */
	const struct image_process *process;
	const struct image_cpu *cpu; /* NULL: not recorded */
	const struct image_cwd *cwd; /* NULL: unknown */
	char *cwd_path;
	const void *auxv;
	size_t auxv_length;
	const void *vdso;
	size_t vdso_length;

	struct job_thread *threads;
	size_t thread_count;
	struct job_area *areas;
	size_t area_count;
	struct job_file **files; /* by id; NULL where there is none */
	const struct image_file **file_records;
	size_t file_count;	 /* highest id + 1 */
	const struct image_fd **fds;
	size_t fd_count;
	const struct image_fd **inside; /* numbers of what is in sockets */
	size_t inside_count;
	struct job_object *objects; /* ascending id */
	size_t object_count;
	struct job_state *states;
	size_t state_count;
	struct job_ids *ids; /* credentials.h; of root's that is not just root */
	size_t ids_count;
};

struct job {
	struct options *options;
	char *computation_dir; /* .../ckpt-NAME-ID */
	char *generation_dir;
	char *name, *id;       /* of the manifest */
	uint64_t generation;
	json_t *manifest; /* after manifest_take_group(): of that only */
	int groups, group; /* so many; ours, or -1 where we only lead */
	struct job_process *processes; /* the root process first */
	size_t process_count;
	int has_ids; /* some of them */
	struct tree *tree;
	struct job_file **files;
	size_t file_count;
	struct job_file *file_buckets[JOB_FILE_BUCKETS];
	/* What init makes for several of them: a process with nothing but
	 * objects. The descriptors by index of object, once they are there. */
	struct job_process commons;
	int *commons_fds;
	int commons_end; /* what is above is ours to begin with */
	/* Pseudo-terminals of its own, by commons_plan(). */
	int terminals;
	int32_t *sessions; /* that have one */
	size_t session_count;

	/* Decided by coordinator_attach() and ids_choose(). */
	char coordinator[96];
	char computation[40];
	uint32_t life;
	int32_t agent_tid;  /* ids that no image uses */
	int32_t helper_tid; /* the first of IDS_HELPERS */
	int32_t last_pid;   /* further ids come after this one */
	int32_t pid_max;    /* and end before this one */
	/* The terminal and the root process's place, by terminal.c. */
	int tty;	 /* -1: none */
	int foreground;	 /* ckpt_restart's group owns it */
	int had_foreground; /* the job had its terminal's, at the checkpoint */
	int own_session; /* the root process makes one */
	int own_group;
};

#define IDS_HELPERS 256

/* manifest.c: finds the generation, reads the manifest. By fail(). */
void manifest_read(struct job *job, const char *where);
/* From here on the job is the processes of one host group. By fail(). */
void manifest_take_group(struct job *job, int group);
/* The host that a group was on. */
const char *manifest_host(const struct job *job, int group);
/* The manifest's entry for a file: its name in the store, or NULL. */
const char *manifest_store_name(const struct job *job,
				const struct image_file *file);

/* images.c: opens every image the manifest names, sorts its records. */
void images_open(struct job *job);
void images_verify_blocks(struct job *job);
/* Opens p->reader.fd once more. By fail(). */
void images_wake(struct job_process *p);
struct job_file *job_process_file(const struct job_process *p, uint32_t id);
struct job_process *job_root(const struct job *job);
struct job_object *job_process_object(const struct job_process *p, uint32_t id);

/* commons.c: what several processes share. By fail(). */
void commons_plan(struct job *job);
/* In init, before it makes any process. */
void commons_make(struct job *job);
/* Is that session's terminal one of the job's own? */
int commons_has_terminal(const struct job *job, int32_t session);
/* In the leader of a session, before it makes any process. */
void commons_lead_session(struct job *job);

/* ground.c: what no process owns, in init: before it makes any process, and
 * when all are there. */
void ground_make(struct job *job);
void ground_leave(struct job *job);

/* check.c: can this machine take it? */
void check_machine(struct job *job);
/* ids.c: tids for our own helpers. */
void ids_choose(struct job *job);
/* No id of a capsule can be so high. */
int32_t ids_limit(void);

/* coordinator.c */
int coordinator_port(void);
void coordinator_attach(struct job *job);
/* A descriptor to poll, and what to do then: 1: the computation runs, 0: not
 * yet, by fail() otherwise. */
int coordinator_fd(void);
int coordinator_ready(void);

/* process.c: in the process that is to become the program. */
_Noreturn void process_restore(struct job *job, struct job_process *p,
			       const char *group_dir, int caps_keep);

#endif
