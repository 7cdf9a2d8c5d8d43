/* SPDX-License-Identifier: MIT */
/*
 * ckpt_remote: what `ssh HOST COMMAND` becomes inside a computation.
 *
 *	this host				HOST
 *	ckpt_remote --as ssh ... (call.c)
 *	  ssh HOST ckpt_remote --serve  ------>	(serve.c) an ordinary command
 *						  of sshd
 *	     "ckpt_remote 1"		<------
 *	     cookie, port, token ...	------>
 *						ckpt_launch ckpt_remote --run
 *						(run.c): in the computation
 *	  listens		<--- TCP, token --- connects
 *	     "ok"			<------	  ends, and ssh with it
 *	  (relay.c) standard streams <--- TCP ---> (relay.c) sh -c COMMAND
 *
 * So what stays are two ordinary processes with a connection between them,
 * which are checkpointed like all others. Meanwhile no checkpoint is made: the
 * call holds a JOIN. It is not encrypted, as ssh's would be.
 */
#ifndef REMOTE_REMOTE_H
#define REMOTE_REMOTE_H

#include <stddef.h>

#define REMOTE_GREETING "ckpt_remote 1"
#define REMOTE_TOKEN_DIGITS 32
#define REMOTE_COMMAND_MAX (1 << 20)
#define REMOTE_LOST 255 /* exit status, as ssh's */

/* ---- options.c: the command line of ssh ---- */

struct call {
	const char *shell; /* ssh, as it was called */
	char **options;	   /* what goes to the real one */
	int option_count;
	const char *host;
	char *command;	/* joined by blanks; NULL: none */
	int no_input;	/* -n */
	int background; /* -f */
	int plain;	/* something that only the real one can do */
};
void call_parse(struct call *call, const char *shell, int argc, char **argv);

/* ---- call.c ---- */
_Noreturn void call_run(const char *shell, int argc, char **argv);

/* ---- serve.c ---- */
_Noreturn void serve(void);

/* ---- run.c ---- */
_Noreturn void run(void);

/* ---- relay.c: three streams over one connection ---- */

enum relay_end {
	RELAY_CALLER, /* reads its standard input, writes the others */
	RELAY_RUNNER, /* the other way round, and has a child */
};
/* streams: the three, by number, or -1; child_fd: a signalfd for SIGCHLD (a
 * pidfd of another process would not be kept), or -1. Returns the exit status: of the child
 * (caller), or of no interest (runner; child's is sent). */
int relay(enum relay_end end, int connection, int streams[3], int child_fd,
	  int child);

#endif
