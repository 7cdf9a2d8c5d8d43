/* SPDX-License-Identifier: MIT */
/*
 * The frozen room: the service thread of a process during a checkpoint, and
 * at the start of a new life. All other threads stand in park.c's handler,
 * maybe with libc's locks held: only sys_*, image_* and park_* here, and
 * memory that is ours.
 *
 * Where memory comes from, and what becomes of it:
 *	static		in libckpt.so's .bss: part of the image. Nobody writes
 *			there while the writer runs.
 *	frozen_alloc()	the scratch range: not in the image, gone afterwards
 *	ckpt_reserve()	in the image, gone when the threads are released
 *
 * A function here returns -errno through frozen_fail(), which keeps the first
 * reason; the service thread reports it once.
 *
 * Include this last.
 */
#ifndef FROZEN_H
#define FROZEN_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "ckpt/plugin.h"
#include "image/format.h"
#include "image/writer.h"
#include "preload/frozen/lines.h"
#include "preload/frozen/procfs.h"
#include "preload/handler/park.h"
#include "preload/preload.h"
#include "sys/string.h"
#include "sys/sys.h"
#include "wire/service.h"

#define FROZEN_PAGE 4096u
#define FROZEN_LINE (64u << 10)
#define FROZEN_PATH (FROZEN_PAGE * 4u + 64u) /* as maps escapes it */
#define FROZEN_FDS_OWN 8
#define FROZEN_ARENA (4u << 20) /* all of ckpt_reserve() */

struct frozen_range {
	uint64_t start, end;
};

/* A mapping of the program, or what our own ranges leave of it. */
struct frozen_area {
	uint64_t start, end, offset;
	uint64_t dev, ino;	/* as maps tells */
	uint64_t object_size;	/* AREA_ANON_SHARED */
	const char *path;	/* "" : none */
	uint32_t prot;
	uint32_t type;		/* enum image_area_type */
	uint32_t flags;		/* enum image_area_flags */
	uint32_t file;		/* of an IMAGE_FILE record, 0: none */
	uint32_t pkey;
	uint32_t hugetlb_shift;
	uint8_t shared;
	uint8_t touched;	/* has pages that a wiped copy would lack */
	uint8_t copied;		/* the writer has a private copy in its place */
	uint8_t readable_copy;	/* ... which can be read */
	uint8_t empty;		/* neither resident nor swapped, says smaps */
	uint8_t elsewhere;	/* another process writes its pages */
};

struct frozen_file {
	struct image_file record;
	uint64_t map_dev, map_ino; /* as maps told, where that differs */
	const char *path;
	uint32_t sent;		   /* 0: not; else 1 + enum service_file_how */
};

/* All that one checkpoint knows. Written by the service thread only; a new
 * life starts it afresh (frozen_reborn), but for `vdso`. */
struct frozen {
	uint32_t request;
	struct image_jump jump;	/* the way back for the service thread */

	/* Descriptors in our own table, -1: none. Whoever opens one for longer
	 * than a call stands here, so that it is not taken for the program's
	 * and moves out of the way of one of those. */
	union {
		struct {
			int agent, image, socket, program_pid;
		};
		int fds[FROZEN_FDS_OWN];
	};

	const char *mask;	/* CKPT_MASK */
	struct service_begin begin;
	enum wire_phase phase;
	int error;		/* the first -errno ... */
	char text[240];		/* ... and its reason */

	struct frozen_range own[4];	/* never in the image */
	uint32_t own_count;
	uint64_t scratch, scratch_used, scratch_size;
	char *line, *path;		/* FROZEN_LINE and FROZEN_PATH bytes */
	uint64_t arena, arena_used;	/* ckpt_reserve() */

	struct image_writer *writer;
	uint64_t writer_base, writer_length;

	/* Of the process; see areas.c, files.c, fds.c. */
	struct frozen_area *areas;
	uint32_t area_count, area_max;
	uint32_t line_count;	/* of maps, before we looked closer */
	struct frozen_file *files;
	uint32_t file_count, file_max;
	struct ckpt_fd *descriptors;
	uint32_t *fd_flags;	/* FD_CLOEXEC of each */
	uint32_t *fd_leader;	/* the first one of the same description */
	uint32_t fd_count;
	struct attached {
		_Alignas(16) struct ckpt_attachment what;
	} *attached;		/* when the checkpoint began */
	uint32_t attached_count;
	uint32_t exe_file;
	uint32_t stored_file;	/* that ckpt_store_file() gave last */
	int can_scan;		/* PAGEMAP_SCAN works */
	int exact;		/* smaps has been read: see areas.c */
	int exact_always;	/* a snapshot has lacked something before */
	uint64_t cpus[16];	/* that any of the threads may use */
	int pid;
	int writer_pid;
	uint64_t bytes;		/* an estimate, for the agent */
	uint64_t stopped;	/* ns, the first thread's poke to the release */
};

extern struct frozen frozen;

/* The vdso and vvar that the program has known since its exec. In a later
 * life the kernel's own may stand elsewhere (preload_rebirth). */
struct frozen_vdso {
	uint64_t start, end, vvar, vvar_end;
};

extern struct frozen_vdso frozen_vdso;

/* ---- service.c ---- */

/* Keeps the first reason: parts, joined, up to a NULL. Returns error. */
int frozen_fail(int error, ...);
int frozen_no_memory(int error);
void frozen_fail_parts(int error, __builtin_va_list parts);
/* In a call of frozen_fail(): numbers and errors as text. */
#define NUMBER(n) frozen_number((char[24]){0}, (uint64_t)(n), 10)
#define HEX(n) frozen_number((char[24]){0}, (uint64_t)(n), 16)
char *frozen_number(char *buffer, uint64_t value, unsigned base);
const char *frozen_strerror(int error); /* -errno; "error" for rare ones */
/* CKPT_MASK names it: do as if the kernel could not. */
int frozen_masked(const char *feature);

void close_copies(void); /* every descriptor but the agent's */

/* ---- memory.c ---- */
int frozen_memory_open(void);
void frozen_memory_close(void);
/* 16-aligned; what has not been in use before is zero. NULL after a fail. */
void *frozen_alloc(size_t size);
char *frozen_keep(const char *text, size_t length);
/* A whole file of /proc, NUL-terminated, as a new allocation. */
char *frozen_slurp(const char *path, size_t *length);

/* ---- link.c: the agent ---- */
int link_connect(void);
int link_send(int socket, struct service_message *m, uint32_t type,
	      uint32_t body, int fd);
/* Waits for a message of that type; ABORT gives -ECANCELED, end of file
 * -EPIPE, both with the reason kept. */
int link_expect(uint32_t type, struct service_message *m);
#define link_answer(socket, m, type, member)                                   \
	link_send(socket, m, type, sizeof((m)->member), -1)

/* ---- capture.c ---- */
int capture_enter(struct service_message *m);
void capture_leave(int ret);

/* ---- limits.c ---- */
void limits_lift(void);
void limits_lower(void);
void limits_forget(void);

/* ---- plugin.c ---- */
int plugins_capture(void); /* under the program's own limits */
/* ckpt_found() for what is inside of it. */
int plugins_inside(const struct ckpt_fd *fd);
int plugins_save(void);	  /* one record for each description */
int plugins_records(void); /* writes what has been held back so far */
void plugins_leave(int ret); /* 0: a checkpoint has been made */
int plugins_revive(const char **what);

/* ---- claims.c ---- */
enum frozen_claim_kind {
	CLAIM_AREA = 1, /* dev, ino, offset, length of shared memory */
	CLAIM_PLUGIN,	/* what ckpt_claim() was given */
};
/* 1: nobody else of the computation has asked for this in this checkpoint, or
 * it cannot be told; save it. */
int frozen_claim(const uint64_t what[5]);

/* ---- fds.c ---- */
/* Our descriptor table is the copy of a moment before all were parked. Moves
 * our own away from what is the program's by now ... */
int fds_make_way(void);
/* ... and makes all others the program's. */
int fds_catch_up(void);
int fds_read(void);
int fds_records(void);
/* Were there descriptors on their way through sockets? */
int fds_any_inside(void);
/* One of them that leads to this file, or -1. */
int fds_find(uint64_t dev, uint64_t ino);

/* ---- files.c ---- */
/* The record of a file, made when there is none. NULL after a fail. */
struct frozen_file *files_note(const struct ckpt_stat *st, const char *path,
			       size_t length, uint32_t flags);
int files_send(struct frozen_file *file, int fd, uint32_t how);
int files_stat(int fd, struct ckpt_stat *st);
void files_records(void);

/* ---- areas.c ---- */
int areas_vdso(void);	 /* fills frozen_vdso, counts lines */
int areas_read(void);
int areas_detail(void);	 /* what only smaps tells, of this very process */
int areas_files(void);
/* In the snapshot: do all areas stand here, with what was in them? 0: yes,
 * 1: no, the areas have to be read with areas_detail(). */
int areas_verify(void);
int areas_touched(void);
/* DONTFORK and WIPEONFORK off (1) and on again (0). */
void areas_inherit(int on);

/* ---- pages.c ---- */
int pages_can_scan(void);
/* At least one page of [start, end) that fork() has to copy? -errno */
int pages_any(int pagemap, uint64_t start, uint64_t end);
int pages_open(void); /* /proc/self/pagemap; -errno */
/* Writes the area's record and adds its runs. */
int pages_area(int pagemap, struct frozen_area *area, int own_memory);
/* Puts a private copy in the place of a shared area, in the snapshot. */
int pages_copy(struct frozen_area *area);

/* ---- snapshot.c ---- */
int snapshot_enter(struct service_message *m);
void snapshot_leave(int ret);
int snapshot_reap(void); /* waits for the writer; 0, or its status */

/* ---- writer.c: the writing process ---- */
enum verdict {
	VERDICT_READY = 1, /* the threads may go */
	VERDICT_AGAIN,	   /* areas_verify() said 1 */
	VERDICT_FAILED,
};

struct writer_verdict {
	uint32_t verdict;
	int32_t error;
	char text[240];
};

struct writer_job {
	int own_process;  /* else: on the service thread itself */
	int own_memory;	  /* a snapshot; else shared with the parked process */
	int verdict;	  /* a pipe for struct writer_verdict */
	int status;	  /* for the service thread: 0 or -errno */
};

void writer_main(void *job);

/* ---- reborn.c ---- */
void frozen_reborn(void);

/* ---- arch ---- */
void arch_cpu(struct image_cpu *cpu);
void arch_all_pkeys(void); /* this task may read whatever pkey there is */
void arch_on_stack(void *top, void (*run)(void *), void *argument);

#pragma GCC poison malloc calloc realloc free printf fprintf snprintf dlsym

#endif
