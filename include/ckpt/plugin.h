/* SPDX-License-Identifier: MIT */
/*
 * How a kind of kernel object is saved and put back. One folder under
 * plugins/ a kind: format.h (its record), save.c (struct ckpt_saver),
 * restore.c (struct ckpt_restorer), and a line in plugins/kinds.def.
 *
 * Saving runs frozen: inside the user's program, on the service thread, all
 * other threads parked, any libc lock possibly held. Only sys_* (sys/sys.h)
 * and what is declared here may be called; no libc, no errno, no TLS.
 * Restoring runs in ckpt_restart, an ordinary program: in the process that is
 * about to become the restarted one, or, for what several of them share, in
 * their ancestor before it makes them ("the commons"). A kind does the same
 * in both.
 *
 * While it saves, no process knows of the others. So a record says what its
 * object is (its inode, that of its other end, its content), never who else is
 * there: that is seen at restart, by what is in the same ckpt_restore.
 */
#ifndef CKPT_PLUGIN_H
#define CKPT_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

/* ---- saving (frozen) ---- */

struct ckpt_stat {
	uint64_t dev, ino, rdev, size, nlink;
	uint32_t mode, uid, gid, pad;
	int64_t mtime; /* ns */
};

/* One descriptor of the process, that stands for its open file description.
 * All of it belongs to the core and lives until the hook returns. */
struct ckpt_fd {
	int fd;
	uint32_t status_flags; /* "flags:" of fdinfo, O_CLOEXEC left out */
	int64_t position;      /* "pos:" of fdinfo */
	struct ckpt_stat st;
	const char *target;    /* readlink of /proc/self/fd/N */
	const char *fdinfo;    /* text of /proc/self/fdinfo/N */
	uint32_t object;       /* the id its record gets */
};

struct ckpt_record; /* being written */

/* Appends to the record's body. The first error is kept and fails the
 * checkpoint when the core asks for it: no need to check each call. */
void ckpt_put(struct ckpt_record *out, const void *data, size_t length);

/* Who saves the content of what several processes may have: 1: you, 0: another
 * one. Once for each object and checkpoint; in doubt 1, so it may be saved
 * twice. What has no device needs a number that is none. */
int ckpt_claim(uint64_t dev, uint64_t ino);

/* Ask the agent to take a copy of this file into the store. now != 0: its
 * content may change once the program runs. Returns the id of its IMAGE_FILE
 * record (> 0) or -errno. The same file twice gives the same id. */
int ckpt_store_file(const struct ckpt_fd *fd, uint32_t file_flags, int now);

/* The descriptors of this process, ascending; for kinds whose ends must find
 * each other (a pipe's). Object ids are set before the first save(). */
size_t ckpt_fd_count(void);
const struct ckpt_fd *ckpt_fd_at(size_t index);
/* The program's descriptor of that number, or NULL. */
const struct ckpt_fd *ckpt_fd_numbered(int fd);
/* Of those the ones of one inode, ascending: the one behind `after`, NULL for
 * the first. NULL: there is none. Rather than a look at all of them for each,
 * as there may be many thousands. */
const struct ckpt_fd *ckpt_fd_by_inode(uint64_t dev, uint64_t ino,
				       const struct ckpt_fd *after);

/* From inside(): this one of our own table was inside. The core takes it over;
 * it is saved like one of the program's, but has no number there. 0 or
 * -errno. */
int ckpt_found(const struct ckpt_fd *owner, int fd);
/* From save(): the id of the object that was the nth found; 0: none. */
uint32_t ckpt_inside(const struct ckpt_fd *owner, uint32_t nth);

/* Refuse the checkpoint: says why in one line ("fd 7: io_uring cannot be
 * saved"), returns error for `return ckpt_refuse(...)`. Parts are joined;
 * the list ends with NULL. */
int ckpt_refuse(int error, ...);

/* CKPT_MASK names this feature: do as if the kernel had it not. Not in
 * revive(): the answer of capture() holds, keep it. */
int ckpt_masked(const char *feature);

/* A fixed piece of memory that lives from capture to leave (or revive); NULL
 * when there is no more. Zeroed. Part of the image like other memory. */
void *ckpt_reserve(size_t length);

/* The process of that pid belongs to the computation. */
int ckpt_is_member(int pid);
/* One of that pid has, at some time in this life of it. */
int ckpt_was_member(int pid);
/* When the computation, or this life of it, began: seconds, CLOCK_REALTIME. */
int64_t ckpt_since(void);

/* An end of a TCP connection between two host groups of the computation. */
struct ckpt_remote {
	uint64_t expected; /* bytes in all, its end counting as one, that come
			    * to it until nothing is on its way any more */
	int unsure;	   /* ... or one less */
	uint64_t pair;	   /* no other connection's; both ends have it */
	uint32_t side;	   /* and who is which of the two: 0, 1 */
	/* The other end: a process has it; nobody has accepted it (pair: the
	 * inode of that listener, side: its host group); it was closed. */
	enum { CKPT_REMOTE_HELD = 1, CKPT_REMOTE_WAITS, CKPT_REMOTE_CLOSED } how;
};
/* Of the end with those names; ports as the network has them, addresses of
 * IPv4 behind ::ffff:. 1, or 0: the other end is not in another host group. */
int ckpt_remote(const unsigned char own[16], uint16_t own_port,
		const unsigned char other[16], uint16_t other_port,
		struct ckpt_remote *remote);

/* The computation has other host groups than this one. */
int ckpt_has_others(void);

/* A System V segment, or a piece of it, where the process has it attached. */
struct ckpt_attachment {
	uint64_t offset, length;
	int id;
	int writable;
};
/* 1; 0: there are not so many. In capture(). */
int ckpt_attached(uint32_t index, struct ckpt_attachment *attachment);

/* What the process has done to a semaphore with SEM_UNDO, added up. */
struct ckpt_undo {
	int id, number;
	int64_t sum;
};
/* 1; 0: there are not so many; -ENOSPC: there were too many to keep. Also in
 * revive(). */
int ckpt_undo(uint32_t index, struct ckpt_undo *undo);

/* A path that the program has watched by inotify when it led to that; device
 * as in fdinfo. From nth 0 on, the latest first; NULL behind the last. */
const char *ckpt_watched(uint64_t dev, uint64_t ino, uint32_t nth);

struct ckpt_saver {
	uint32_t kind; /* from kinds.def */
	const char *name;

	/* Kinds that stand for descriptors: */
	int (*matches)(const struct ckpt_fd *fd); /* 1: it is mine */
	/* Descriptors that are inside this one (on their way through a
	 * socket): ckpt_found() for each. 0 or -errno. */
	int (*inside)(const struct ckpt_fd *fd);
	/* Once for each description; writes the body behind struct
	 * image_object, which the core has put. 0 or -errno. */
	int (*save)(const struct ckpt_fd *fd, struct ckpt_record *out);

	/* State of the process that is no descriptor (timers, signals ...):
	 * capture() reads it into memory of its own, which is part of the
	 * image, and may write a record for people; revive() puts it back
	 * from there in the new life, before any thread runs; leave() undoes
	 * what capture() changed, after success (ret 0) and failure (-errno)
	 * alike. Also for
	 * kinds with descriptors: revive() runs when all are in place. */
	int (*capture)(struct ckpt_record *out);
	void (*leave)(int ret);
	int (*revive)(void);
};

/* ---- restoring (ordinary) ---- */

struct ckpt_object {
	uint32_t id, kind;
	uint32_t status_flags;
	int64_t position;
	uint64_t dev, ino; /* of the description, as it was */
	const void *body; /* behind struct image_object */
	size_t length;
	uint32_t file;	  /* id of an IMAGE_FILE record, or 0 */
	int first_fd;	  /* the lowest descriptor that refers to it; -1 */
	int holders;	  /* processes that have it */
	int pid;	  /* of the one whose record this is */
	const char *label; /* for messages: "fd 5 (/home/u/data)" */
};

struct ckpt_restore; /* what is restored at one place; ckpt_restart's */

/* The descriptor already made for an object, or -1: not yet, or none. */
int ckpt_object_fd(struct ckpt_restore *r, uint32_t object);
/* The objects here of one kind and inode (0: any), one after the other: the
 * one behind `after`, NULL for the first. NULL: there is none. */
const struct ckpt_object *ckpt_object_by_inode(struct ckpt_restore *r,
					       uint32_t kind, uint64_t ino,
					       const struct ckpt_object *after);
/* The object here that the process which wrote this one's record knows by
 * that id; NULL: none. Ids in bodies are such. */
const struct ckpt_object *ckpt_object_named(struct ckpt_restore *r,
					    const struct ckpt_object *object,
					    uint32_t id);
/* The record that the nth process holding it has written of the same
 * description, from 0; NULL behind the last. Valid until the next call. Also
 * in one of these processes; ckpt_object_named() then knows its own only. */
const struct ckpt_object *ckpt_object_record(struct ckpt_restore *r,
					     const struct ckpt_object *object,
					     size_t nth);
/* In a process: 1 when the object of that id is made for several of them, in
 * their ancestor; 0 when it is the process's own. */
int ckpt_object_is_common(struct ckpt_restore *r, uint32_t id);
/* The descriptor for what was at fd N of the process, or -1. */
int ckpt_old_fd(struct ckpt_restore *r, int fd);
/* The object's file as the restart decided (rollback, store, another
 * directory): open it. Returns a descriptor or -errno. */
int ckpt_open_file(struct ckpt_restore *r, const struct ckpt_object *object,
		   int flags);
/* One of ckpt_restart's own standard streams (0, 1, 2): a fresh duplicate. */
int ckpt_standard_stream(struct ckpt_restore *r, int number);
/* Is the job in the foreground of ckpt_restart's terminal, as it was of its
 * own? */
int ckpt_foreground(struct ckpt_restore *r);
/* One line in the report that the user sees, at restart. */
void ckpt_report(struct ckpt_restore *r, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Gives the object a further descriptor: kinds that make two at once (the
 * other end of a pipe) hand the second to its object. Takes ownership. */
int ckpt_adopt(struct ckpt_restore *r, uint32_t object, int fd);
/* Does call(argument) as the process of that pid would, as far as the kernel
 * notes down who it was (SO_PEERCRED): on the same descriptors, in a copy of
 * the memory, from which only the argument comes back. Where nobody can have
 * that pid for a moment it is done as who we are. */
int ckpt_as(struct ckpt_restore *r, int pid, int (*call)(void *),
	    void *argument, size_t size);

/* Between host groups that are restarted together, from meet(): each says
 * something about some things of its own, by a name that nobody else has, and
 * hears what is said about things of other groups. Returns when all groups have
 * come to it; all must call it equally often. */
struct ckpt_meeting {
	char mine[64];	 /* "": none, it only asks */
	char theirs[64]; /* whom it asks for; "": nobody */
	char says[192];
	/* the answer */
	int wanted;	 /* so many have asked for it */
	int heard;	 /* there is one of that name, and: */
	char hears[192];
	char host[64];	 /* an address by which we reach its host */
};
int ckpt_meet(struct ckpt_restore *r, struct ckpt_meeting *ends, size_t count);
/* Only those who take part in this restart know it for what. */
void ckpt_proof(struct ckpt_restore *r, const char *what,
		unsigned char proof[32]);
/* Which of the host groups it is. */
int ckpt_group(struct ckpt_restore *r);
/* The nth address that its host had, loopback apart, as numbers; NULL behind
 * the last. */
const char *ckpt_host_address(struct ckpt_restore *r, size_t nth);

/* See ckpt_restorer.bonds. */
struct ckpt_bonds;
void ckpt_bond(struct ckpt_bonds *bonds, uint64_t what);
void ckpt_bond_object(struct ckpt_bonds *bonds, uint32_t id);
/* All that name this number are one description (a socket's inode). Not sure:
 * when the checkpoint does not tell which are. */
void ckpt_bond_same(struct ckpt_bonds *bonds, uint64_t what, int sure);
void ckpt_bond_commons(struct ckpt_bonds *bonds);
/* It is a pseudo-terminal of the job's own: the capsule has terminals of its
 * own then. session: that it controls (and it is made in the commons), or 0. */
void ckpt_bond_terminal(struct ckpt_bonds *bonds, int session);

struct ckpt_restorer {
	uint32_t kind;
	const char *name;
	/* What it belongs to: ckpt_bond() for each thing, as a number that is
	 * unique within the kind (the inode of a pipe, of each end of a
	 * connection), ckpt_bond_object() for another object of the same
	 * process, ckpt_bond_commons() when it must be made before all
	 * processes. Objects with a thing in common are made at one place, so
	 * that they can find each other. Without: it stands alone. */
	void (*bonds)(const struct ckpt_object *object,
		      struct ckpt_bonds *bonds);
	/* When several host groups are restarted together: in each of them
	 * once, before open() of what is made in the commons, to make what has
	 * a part in another group. 0 or -errno, after ckpt_report. */
	int (*meet)(struct ckpt_restore *r);
	/* Make the description. Returns a descriptor at any number (the core
	 * moves it, sets flags, position and owner) or -errno; -EALREADY when
	 * ckpt_adopt() has given it one meanwhile. Called in ascending object
	 * id, skipped when it has one before. */
	int (*open)(struct ckpt_restore *r, const struct ckpt_object *object);
	/* When all objects exist; those of one process then stand at their
	 * old numbers. */
	int (*connect)(struct ckpt_restore *r, const struct ckpt_object *object,
		       int fd);
	/* For those of the commons, in the leader of a session in which
	 * ckpt_bond_terminal() has named a terminal: its only moment, after
	 * setsid() and before it makes those who inherit the terminal. */
	int (*session)(struct ckpt_restore *r, const struct ckpt_object *object,
		       int fd);
	/* In each process that has it, with the process's own record, last of
	 * all, when every process exists: what belongs to the process rather
	 * than to the description (posix locks). */
	int (*hold)(struct ckpt_restore *r, const struct ckpt_object *object,
		    int fd);
	/* Refuse before anything is created: 0, or -errno after ckpt_report. */
	int (*check)(struct ckpt_restore *r, const struct ckpt_object *object);
	/* Kinds that are no descriptor (process): body of their record. On
	 * the leading thread, when all else is done, just before the jump to
	 * the bare restorer; threads made later inherit what is set here. */
	int (*process)(struct ckpt_restore *r, const void *body, size_t length);
	/* The same, for what no process owns: in their ancestor, before any
	 * exists, for the record of each, whose pid is given; and when all
	 * exist, once. */
	int (*before)(struct ckpt_restore *r, int pid, const void *body,
		      size_t length);
	void (*between)(struct ckpt_restore *r);
	/* One line about the record for `ckpt_image show`. For kinds that are
	 * no descriptor only body and length are there. */
	void (*show)(const struct ckpt_object *object, char *line, size_t size);
	/* The core sets the file position and O_APPEND etc. unless set here. */
	int no_position;
	/* A process makes its own of it, even if it was shared: nothing of it
	 * can be told apart (a pidfd), or it needs its processes first. */
	int never_shared;
};

#endif
