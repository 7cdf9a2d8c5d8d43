/* SPDX-License-Identifier: MIT */
/*
 * What the service thread of a process (and later its writer) and the agent
 * say to each other: SOCK_SEQPACKET on RUNTIME/GROUP/agent.sock, one message a
 * packet, descriptors by SCM_RIGHTS. Same host, same build: native layout,
 * and SERVICE_VERSION must match.
 *
 *	service thread			agent
 *	HELLO			->
 *				<-	BEGIN [image fd, writer's socket]
 *	(parks all threads)
 *	PARKED			->
 *				<-	CAPTURE
 *	FILE [fd] ...		->		(no answer; the agent answers
 *	CAPTURED		->		nothing until files marked NOW
 *				<-	SNAPSHOT	are safe)
 *	SNAPSHOTTED		->
 *				<-	RELEASE
 *	RELEASED		->		(threads run; the service thread
 *	REAPED			->		stays to reap the writer, ends)
 *
 * A process that was stopped by a signal has been woken for this, and stops
 * again between RELEASED (or FAILED) and the release of its threads: they run,
 * and REAPED comes, when somebody continues it.
 *
 * The writer (a fork-like child; in --sync mode a thread) speaks on its own
 * socket: WROTE while it goes, then WRITTEN or FAILED.
 * Either side may end it at any time before RELEASE: FAILED from the service
 * (which has already undone everything and released), ABORT from the agent
 * (answered by RELEASED). End of file means the same: undo, release, end.
 *
 * A process that has just been restarted sends REBORN on a new connection,
 * gets RELEASE when all of its host group (and of the computation) have come,
 * and answers RELEASED; FAILED or end of file ends it.
 *
 * A second ckpt_agent started for a group that has one says GUEST (a hello
 * with the pid that is about to become a process of the group), gets GUEST
 * back and leaves: the agent stays until that pid has come or is dead.
 */
#ifndef WIRE_SERVICE_H
#define WIRE_SERVICE_H

#include <stdint.h>

#include "wire/phases.h"

#define SERVICE_VERSION 2
#define SERVICE_SOCKET "agent.sock"
#define SERVICE_REGISTRY "registry"

enum service_type {
	SERVICE_HELLO = 1,
	SERVICE_BEGIN,
	SERVICE_PARKED,
	SERVICE_CAPTURE,
	SERVICE_FILE,
	SERVICE_CAPTURED,
	SERVICE_SNAPSHOT,
	SERVICE_SNAPSHOTTED,
	SERVICE_RELEASE,
	SERVICE_RELEASED,
	SERVICE_REAPED,
	SERVICE_WROTE,
	SERVICE_WRITTEN,
	SERVICE_FAILED,
	SERVICE_ABORT,
	SERVICE_REBORN,
	SERVICE_GUEST,
};

enum service_compress {
	COMPRESS_AUTO = 0, /* LZ4 where it gains, raw elsewhere */
	COMPRESS_LZ4 = 1,  /* LZ4 wherever it is smaller at all */
	COMPRESS_NONE = 2,
};

struct service_hello { /* HELLO, REBORN */
	uint32_t version;
	int32_t pid;
	uint32_t request; /* that of the poke; REBORN: image_rebirth.life */
	int32_t tid;	  /* of the service thread */
};

struct service_begin {
	uint32_t request;
	uint32_t generation;
	uint32_t compress; /* enum service_compress */
	uint32_t threads;  /* of the writer; 0: as many as CPUs it may use */
	uint32_t sync;	   /* write while parked */
	uint32_t rollback; /* 1: files open for writing go with their content */
	uint32_t stop_ms;  /* deadline for parking */
	uint32_t stopped;  /* stop the process before its threads run again */
	uint32_t fault_phase; /* CKPT_FAULT: fail when entering this phase ... */
	int32_t fault_error;  /* ... with this errno; 0: no fault. The phase
			       * WRITE fails in the writer */
	char computation[40];
};

struct service_parked {
	uint32_t threads;
	uint32_t pad;
	uint64_t park_ns; /* from the first signal to the last arrival */
};

/* One descriptor goes with it. The agent needs nothing but the descriptor and
 * the key; the same file may be sent by many processes. */
enum service_file_how {
	SERVICE_FILE_LATER = 0, /* nobody changes it: copy after the release */
	SERVICE_FILE_NOW = 1,	/* copy before anybody is released */
};

struct service_file {
	uint64_t dev, ino, size;
	int64_t mtime; /* ns */
	uint32_t how;
	uint32_t file; /* image_file.id */
};

struct service_captured {
	uint64_t bytes; /* of memory to be written, before compression */
	uint32_t descriptors;
	uint32_t areas;
	int32_t tid; /* the service thread's, whose table has what is inside
		      * sockets beside the program's; 0: nothing is */
	uint32_t pad;
};

struct service_snapshotted {
	int32_t writer;	   /* its pid; 0 with sync */
	uint32_t fallback; /* errno of the refused clone: written while parked */
};

struct service_released {
	uint64_t stopped_ns; /* from the first signal to the release */
};

struct service_wrote {
	uint64_t raw, stored; /* so far */
};

struct service_written {
	uint64_t raw, stored, file_size;
	uint64_t write_ns;
	uint64_t header_hash; /* of the image: the manifest holds it too */
};

struct service_failed {
	uint32_t phase; /* enum wire_phase */
	int32_t error;	/* -errno */
	char text[240]; /* step and object, NUL-terminated */
};

struct service_message {
	uint32_t type; /* enum service_type */
	uint32_t length; /* of the whole message */
	union {
		struct service_hello hello;
		struct service_begin begin;
		struct service_parked parked;
		struct service_file file;
		struct service_captured captured;
		struct service_snapshotted snapshotted;
		struct service_released released;
		struct service_wrote wrote;
		struct service_written written;
		struct service_failed failed;
	};
};

#endif
