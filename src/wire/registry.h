/* SPDX-License-Identifier: MIT */
/*
 * The registry: a shared file, RUNTIME/GROUP/registry, mapped by every
 * process of a host group (one slot each) and by its agent. It is how a
 * process is known without a thread, a descriptor or a socket.
 *
 * The agent creates it (REGISTRY_SIZE bytes, sparse) before any process maps
 * it. A process takes a slot with compare-and-swap of `state` from FREE to
 * TAKEN, starting to look at pid % REGISTRY_SLOTS; fills it; stores LIVE.
 * After exec it finds its slot again by pid and start time. The agent frees
 * the slots of the dead (pid gone, or another start time). No locks; all
 * fields are accessed with __atomic builtins.
 */
#ifndef WIRE_REGISTRY_H
#define WIRE_REGISTRY_H

#include <stdint.h>

#define REGISTRY_MAGIC 0x52504b43u /* "CKPR" */
#define REGISTRY_VERSION 5
#define REGISTRY_SLOTS 32768u
#define REGISTRY_CLAIMS 16384u
#define REGISTRY_REMOTES 65536u
#define REGISTRY_REMOTES_MOST 40000u /* of those in use */
#define REGISTRY_HEADER 4096u

/* si_code and si_signo of a poke: rt_sigqueueinfo(pid, 33). Only this code is
 * taken for a request, and only with si_int == registry_header.request. */
#define CKPT_SIGNAL 33
#define CKPT_POKE_CODE (-0x434b)

enum registry_state {
	SLOT_FREE = 0,
	SLOT_TAKEN = 1,	 /* being filled in */
	SLOT_LIVE = 2,	 /* answers pokes */
	SLOT_EXEC = 3,	 /* in exec: 33 is ignored until the new program's
			  * constructor says LIVE again */
};

struct registry_slot {
	uint32_t state; /* enum registry_state; the process writes */
	int32_t pid;	/* as the host group sees it */
	uint64_t start_time; /* /proc/PID/stat field 22; a child by fork
			      * leaves it 0, for the agent to fill in */
	uint32_t answered;   /* the last request this process began to answer */
	int32_t error;	     /* -errno: why it could not even start to */
	/* The agent writes poked_tid, poked_call and asleep_since before each
	 * poke: the thread it pokes, and since when that has been asleep
	 * (CLOCK_MONOTONIC ns, 0: it does not know). Nobody can tell once the
	 * signal has arrived. */
	int32_t poked_tid;
	int32_t writer;	    /* pid of a snapshot child not reaped yet, or 0 */
	uint64_t asleep_since;
	/* Which of the pids that have their place here have ever been in the
	 * computation: see registry_seen(). */
	uint64_t seen[2];
	int32_t poked_call; /* agent, like poked_tid: number + 1 of the system
			     * call it sits in, 0: not known */
	uint32_t poked_print; /* registry_print() of that call */
};
_Static_assert(sizeof(struct registry_slot) == 64, "a slot");

/* The word in which a pid is noted as seen, and its bit there. */
static inline uint64_t *registry_seen(struct registry_slot *slots, int32_t pid,
				      uint64_t *bit)
{
	uint32_t turn = (uint32_t)pid / REGISTRY_SLOTS;

	*bit = 1ull << (turn % 64);
	return &slots[(uint32_t)pid % REGISTRY_SLOTS].seen[turn / 64 % 2];
}

/*
 * What several processes see needs to be in one image only: the first to
 * claim it during a checkpoint saves it. Saved twice it does no harm, so a
 * claim that finds no room, or waits too long for another to be filled in, is
 * simply granted. The processes write; those of former requests are free.
 */
struct registry_claim {
	uint64_t stamp;	  /* request << 32 | enum registry_claim_state */
	uint64_t what[5]; /* kind of thing, then what it is */
	uint64_t pid;	  /* whose it is */
	uint64_t pad;
};
_Static_assert(sizeof(struct registry_claim) == 64, "a claim");

/*
 * An end of a TCP connection whose other end is in another host group of the
 * computation, or was: the agents have asked each other. Found by its names,
 * from registry_remote_place() on, up to one of another request. The agent
 * writes, before CAPTURE.
 */
struct registry_remote {
	uint32_t request;
	uint16_t own_port, other_port; /* as the network has them */
	unsigned char own[16], other[16]; /* IPv4: behind ::ffff: */
	uint64_t expected; /* bytes (the end counts as one) that it will have
			    * received when nothing is on its way any more */
	uint64_t pair;	   /* the same for both ends, or the listener's inode */
	uint32_t side;	   /* of the two; or the listener's host group */
	uint16_t how;	   /* enum registry_remote_how */
	uint16_t unsure;   /* it may be one byte less */
};
_Static_assert(sizeof(struct registry_remote) == 64, "a remote end");

enum registry_remote_how {
	REMOTE_HELD = 1,   /* a process has the other end */
	REMOTE_WAITS = 2,  /* nobody has accepted it there */
	REMOTE_CLOSED = 3, /* who had it has closed it */
};

static inline uint32_t registry_remote_place(const struct registry_remote *r)
{
	uint64_t h = (uint64_t)r->own_port << 16 | r->other_port;
	int i;

	for (i = 0; i < 16; i++) {
		h = (h ^ r->own[i]) * 0x9e3779b97f4a7c15ull;
		h = (h ^ h >> 29 ^ r->other[i]) * 0x9e3779b97f4a7c15ull;
		h ^= h >> 32;
	}
	return (uint32_t)(h % REGISTRY_REMOTES);
}

enum registry_claim_state {
	CLAIM_FILLING = 1,
	CLAIM_HELD = 2,
};

struct registry_header {
	uint32_t magic;
	uint32_t version;
	uint32_t request; /* the checkpoint under way, 0: none. Counts up, is
			   * never used twice; the agent writes */
	uint32_t agent;	  /* pid of the agent */
	char computation[40];
	/* For the next agent, when this one is killed: it goes on counting,
	 * and sweeps what an unfinished checkpoint has left here. */
	uint32_t last_request;
	uint32_t remotes; /* the request in which there are other groups */
	char generation_dir[1024]; /* absolute; empty: nothing under way */
	int64_t since; /* when it was made: seconds, CLOCK_REALTIME */
	/* Where members of other users find root's agent, who cannot enter its
	 * folder: the name of an abstract socket, new with every agent. Empty:
	 * there is none. */
	char other_users[40];
};
_Static_assert(sizeof(struct registry_header) <= REGISTRY_HEADER, "one page");

/* A system call that a thread sits in, as /proc/PID/task/TID/syscall has it.
 * A thread that is poked may have gone on since: by the print it knows whether
 * it is in that call still. The lower twelve bits are those of the number of
 * voluntary context switches: the same sleep, too, not only the same call. */
struct registry_call {
	int64_t nr;
	uint64_t arguments[6];
	uint64_t sp, ip;
};

#define REGISTRY_PRINT_SWITCHES 0xfffu

static inline uint32_t registry_print(const struct registry_call *call,
				      uint64_t switches)
{
	const uint64_t *a = call->arguments;
	const uint64_t words[] = {
		(uint64_t)call->nr, a[0], a[1], a[2], a[3], a[4], a[5],
		call->sp, call->ip,
	};
	uint64_t h = 0;
	int i;

	for (i = 0; i < 9; i++) {
		h = (h ^ words[i]) * 0x9e3779b97f4a7c15ull;
		h ^= h >> 29;
	}
	return ((uint32_t)h & ~REGISTRY_PRINT_SWITCHES) |
	       ((uint32_t)switches & REGISTRY_PRINT_SWITCHES);
}

#define REGISTRY_CLAIMS_AT                                                     \
	(REGISTRY_HEADER + REGISTRY_SLOTS * sizeof(struct registry_slot))
#define REGISTRY_REMOTES_AT                                                    \
	(REGISTRY_CLAIMS_AT + REGISTRY_CLAIMS * sizeof(struct registry_claim))
#define REGISTRY_SIZE                                                          \
	(REGISTRY_REMOTES_AT +                                                 \
	 REGISTRY_REMOTES * sizeof(struct registry_remote))

static inline struct registry_slot *registry_slots(struct registry_header *r)
{
	return (struct registry_slot *)((char *)r + REGISTRY_HEADER);
}

static inline struct registry_claim *registry_claims(struct registry_header *r)
{
	return (struct registry_claim *)((char *)r + REGISTRY_CLAIMS_AT);
}

static inline struct registry_remote *
registry_remotes(struct registry_header *r)
{
	return (struct registry_remote *)((char *)r + REGISTRY_REMOTES_AT);
}

static inline int registry_remote_same(const struct registry_remote *a,
				       const struct registry_remote *b)
{
	return a->own_port == b->own_port && a->other_port == b->other_port &&
	       !__builtin_memcmp(a->own, b->own, 16) &&
	       !__builtin_memcmp(a->other, b->other, 16);
}

#endif
