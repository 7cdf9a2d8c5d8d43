/* SPDX-License-Identifier: MIT */
/*
 * ckpt_coordinator: one computation, its host groups, and whoever asks.
 *
 *	main.c		options, listening, going to the background
 *	loop.c		the one event loop; connections; who may say what
 *	computation.c	its id, name and folder; when it begins and ends
 *	groups.c	host groups and their agents
 *	clients.c	requests of launch, restart, command and the console
 *	interval.c	checkpoints that nobody has to ask for
 *	checkpoint.c	the phases
 *	generation.c	the folders of generations
 *	manifest.c	what a restart has to know of one
 *	match.c		which ends of connections belong together
 *	status.c	the answers to -s and -l
 *	console.c	the line on the terminal
 *
 * One thread, nothing blocks. A module that waits for something tells the loop
 * by its ..._deadline() and is told by its ..._expired().
 */
#ifndef COORDINATOR_H
#define COORDINATOR_H

#include <jansson.h>
#include <limits.h>
#include <stdint.h>
#include <sys/types.h>

#include "wire/peer.h"
#include "wire/phases.h"

#define NEVER INT64_MAX
#define DIR_MAX (PATH_MAX - 256) /* leaves room for what stands inside */

/* Set by main.c before the loop starts, and INTERVAL later. */
struct settings {
	int port; /* where we listen */
	char address[96]; /* HOST:PORT by which agents of this host reach us */
	char dir[DIR_MAX]; /* -d, absolute; "" when not said */
	int interval;	    /* seconds, 0: none */
	int exit_on_last;
	int stop_ms, capture_ms, write_ms;
	unsigned char cookie[WIRE_COOKIE_BYTES];
	char host[256]; /* our own name */
};
extern struct settings settings;

/* ---- loop.c ---- */

struct group;
struct client;

struct connection {
	struct connection *next;
	struct wire_peer *peer;
	struct group *group;   /* of an agent that has registered */
	struct client *client; /* of everybody else that has asked something */
	int64_t deadline;      /* for the handshake and the first message */
	uint32_t polled;       /* events asked for */
	int doomed;	       /* closed at the end of the round */
	int closing;	       /* ... once its last answer is out */
};

int64_t loop_now(void); /* ms, monotonic */
int loop_run(int listener);
/* End: answers that are queued still go out. */
void loop_end(int status);
/* Also on a descriptor that is no peer's: the console's. */
int loop_watch(int fd, void (*ready)(void));
void loop_unwatch(int fd);
void connection_send(struct connection *connection, enum wire_type type,
		     json_t *body);
/* A peer that breaks the rules; it is gone when the round is over. */
__attribute__((format(printf, 2, 3))) void
connection_drop(struct connection *connection, const char *format, ...);
/* Connections in use by anybody but agents. */
int connections_of_clients(void);

/* ---- computation.c ---- */

struct computation {
	char id[17]; /* 16 hex digits; "": none */
	char name[64];
	char dir[DIR_MAX];     /* CKPTDIR, absolute */
	char folder[PATH_MAX]; /* CKPTDIR/ckpt-NAME-ID */
	int lock_fd;	       /* its lock, -1 while it is not held */
	int generation;	       /* newest committed, 0: none */
	json_t *options;       /* compress, sync, files, keep, threads */
	int restoring;	       /* groups expected back in all; 0: not */
	char restored_id[17];  /* ... of that checkpoint, */
	int restored_generation;
	int64_t deadline;      /* without a group by then it is over */
	/* Our predecessor had so many groups: they are waited for until then
	 * before a checkpoint is made. */
	int had_groups;
	int64_t had_until;
	char lost[256]; /* as text; see computation_lost() */
};
extern struct computation computation;

/* dir absolute. */
void computation_begin(const char *program, const char *dir, int interval,
		       const json_t *options);
/* Goes on with one that was: after a restart, or with the old coordinator
 * gone. 0; -EBUSY: the folder is somebody else's. */
int computation_continue(const char *id, const char *name, const char *dir,
			 int generation, const json_t *options);
int computation_exists(void);
/* Something has changed: tell the agents, and see whether it is over. */
void computation_changed(void);
void computation_await_groups(int seconds);
int computation_awaits_groups(void); /* none has registered yet */
/* After being killed: so many groups there were. */
void computation_had(int groups);
/* So many of those that a killed coordinator had have not come back yet. */
int computation_misses_groups(void);
/* A host group has gone without its processes having ended, as far as is known:
 * no checkpoint is made without them before it has come back, or somebody agrees
 * to go on. */
void computation_lost(const char *host, unsigned long number);
void computation_found(const char *host, unsigned long number);
/* So many, of which a killed coordinator has left nothing but the number. */
void computation_lost_groups(int groups);
void computation_forget_lost(void);
/* At the start: go on with what a killed coordinator of this port had, if any
 * of it still lives on this host. */
void computation_take_up(void);
json_t *computation_state(void);
int64_t computation_deadline(void);
void computation_expired(int64_t now);
/* End with it when its last process has gone (quit). */
void computation_quit_when_over(void);

/* ---- groups.c ---- */

struct group {
	struct group *next;
	struct connection *connection; /* NULL: the agent is lost */
	char host[256];
	char runtime_dir[PATH_MAX]; /* RUNTIME, or RUNTIME/COMPUTATION-GROUP */
	unsigned long number;	    /* util_host_group() there */
	char address[80];	    /* where its agent calls from */
	int index; /* its place among the groups; the first is the root's */
	pid_t agent_pid;
	int capsule;
	int restored; /* RESTARTED has come, or nothing to wait for */
	int processes;
	json_t *list; /* the last PROCESSES */
	int64_t seq;  /* of the QUERY that it answered */
	/* while lost */
	int attempts;
	int64_t next_attempt;

	/* checkpoint.c's */
	int taking_part;
	int place; /* among those that take part */
	int done; /* with the phase under way */
	int written;
	json_t *figures[PHASE_COUNT]; /* its DONE of each */
	int64_t raw, stored, total;   /* its PROGRESS */
};

struct group *groups_first(void); /* by their index */
int groups_count(void);
int groups_processes(void);
/* "HOST", or "HOST (ADDRESS)" where there are several. In a static buffer. */
const char *group_name(const struct group *group);
void group_lost(struct group *group); /* its connection has ended */
void groups_send(enum wire_type type, json_t *body); /* to all connected */
/* Ask all for PROCESSES; returns the seq that answers will carry. */
int64_t groups_query(void);
int groups_answered(int64_t seq);
/* For a new coordinator: does anything of a computation live on this host
 * (its agent, or processes without one); and start agents for the latter. */
int groups_of(const char *id);
void groups_find_again(const char *id);

/* abroad.c: by ssh, in the background. */
void abroad_start_agent(const char *host, const char *group_dir,
			const char *id);
int64_t groups_deadline(void);
void groups_expired(int64_t now);

/* ---- clients.c ---- */

struct client {
	struct client *next;
	struct connection *connection; /* NULL: the console */
	/* A request that cannot be served yet, and until when it is kept. */
	void (*retry)(struct client *client);
	json_t *request;
	int64_t deadline; /* of that, or of what it waits for */
	/* what it waits for */
	int64_t seq;	  /* STATUS, LIST: PROCESSES of this QUERY */
	int wants_list;
	int awaits_checkpoint;
	int kills_after;  /* -kc */
	int awaits_end;	  /* KILL, -kc, QUIT: all processes gone */
	json_t *last;	  /* the answer to be given then */
	char *last_text;
	int joining;	  /* launch: from JOIN until it execs */
	int holding;	  /* ... and no checkpoint meanwhile */
	int restoring;	  /* restart: from RESTORE until all are back */
	int group;	  /* ... which of them, -1: it only leads */
	char host[256];
	json_t *meets;	  /* MEET: what it said, until all have */
};

struct client *console_client(void);
void client_free(struct client *client); /* its connection has ended */
void client_reply(struct client *client, int ok, json_t *data,
		  const char *text);
void clients_progress(const json_t *body); /* to who awaits the checkpoint */
/* The outcome, to all who wait for it. data is borrowed. */
void clients_checkpoint_over(int ok, json_t *data, const char *text);
void clients_look_again(void); /* counts, phases or groups have changed */
int clients_joining(void);
int clients_holding(void); /* checkpoints back */
int clients_killing(void); /* somebody waits for all to be dead */
/* A restart has come to its end, well or not. */
void clients_restart_over(int ok, const char *text);
/* What the console says, a line without its end: 0, or -EINVAL. */
int console_request(const char *line);
int console_busy(void); /* its last request has not been answered */
int64_t clients_deadline(void);
void clients_expired(int64_t now);

/* ---- interval.c ---- */

void interval_set(int seconds); /* 0: no more */
void interval_restart(void);	/* counted anew from now */
int64_t interval_deadline(void);
void interval_expired(int64_t now);

/* ---- checkpoint.c ---- */

struct checkpoint_request {
	int hold; /* keep them parked, kill them at the commit (-kc) */
	const char *fault; /* "phase:ERRNAME" or NULL */
};

/* 0; -EAGAIN: soon perhaps (agents or a restart are on their way); another
 * -errno: no. Why not stands in err. */
int checkpoint_possible(char *err, size_t errsize);
/* 0, or -errno with the reason in err. The outcome goes to
 * clients_checkpoint_over(). */
int checkpoint_start(const struct checkpoint_request *request, char *err,
		     size_t errsize);
enum wire_phase checkpoint_phase(void); /* PHASE_IDLE: none under way */
int checkpoint_aborting(void);
void checkpoint_group_lost(struct group *group);
void checkpoint_group_left(struct group *group);
/* We are ending: take back what can be. */
void checkpoint_give_up(const char *why);
int64_t checkpoint_deadline(void);
void checkpoint_expired(int64_t now);

/* ---- generation.c ---- */

/* Makes the computation's folder if need be and takes its lock. 0 or -errno;
 * -EBUSY: another coordinator has it. */
int folder_open(char *err, size_t errsize);
void folder_close(void);
/* The newest with a manifest, 0: none. */
int folder_newest(const char *folder);
/* Makes the next free generation's folder; its number or -errno. Leftovers
 * without a manifest, of a coordinator that was killed, are removed. */
int generation_make(char *path, size_t size, char *err, size_t errsize);
/* 1: it counts. */
int generation_committed(const char *path);
/* Removes a generation that does not count. */
void generation_remove(const char *path);
int make_dirs(const char *path, mode_t mode);

/* ---- manifest.c ---- */
struct checkpoint_figures {
	int generation;
	int64_t processes, bytes, raw, stored;
	double stop_ms, total_ms;
	int hold;
};
json_t *manifest_make(const struct checkpoint_figures *figures,
		      const json_t *options);
/* What one group needs of it, should its directory be its own. */
json_t *manifest_part(const json_t *manifest, const struct group *group,
		      int place);

/* ---- match.c ---- */

struct match;
struct match_answer {
	int wanted; /* so many have asked for it */
	json_int_t pair; /* the same for both ends */
	int side;	 /* which of the two: 0, 1 */
	int group;	 /* the other one's */
	json_t *says;	 /* borrowed */
};
struct match *match_new(void);
void match_free(struct match *match);
/* First the ends of all groups; then all of them again. */
void match_add(struct match *match, int group, const json_t *ends);
void match_want(struct match *match, const json_t *ends);
/* 1; 0: there is none of the name it asks for. */
int match_find(const struct match *match, const json_t *end,
	       struct match_answer *answer);

/* ---- status.c ---- */
json_t *status_data(void);
void status_text(char *text, size_t size);
json_t *list_data(void);
char *list_text(void); /* to be freed */

/* ---- console.c ---- */
void console_open(void); /* on standard input, if there is one to speak of */
void console_close(void);
int console_look(void); /* obey one more line: 1, there was one */
__attribute__((format(printf, 1, 2))) void console_say(const char *format, ...);

/* Handlers of messages.def. */
#define TO_COORDINATOR(id, from, handler)                                      \
	void handler(struct connection *connection, json_t *body);
#include "wire/messages.def"

#endif
