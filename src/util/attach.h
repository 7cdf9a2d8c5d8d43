/* SPDX-License-Identifier: MIT */
/*
 * Finding the coordinator, or starting one: the same rules, options and
 * variables for ckpt_launch, ckpt_restart and ckpt_command.
 *
 *	struct util_attach where;
 *	util_attach_defaults(&where);         reads CKPT_HOST, CKPT_PORT ...
 *	while ((c = getopt_long(...)) != -1)
 *		if (util_attach_option(&where, c, optarg)) continue; ...
 *	peer = util_coordinator_attach(&where, ROLE_LAUNCH, err, sizeof(err));
 *	... now where.host and where.port say where it is
 */
#ifndef UTIL_ATTACH_H
#define UTIL_ATTACH_H

#include <getopt.h>
#include <stddef.h>

#include "wire/peer.h"

#define UTIL_DEFAULT_PORT 7790
#define UTIL_CONNECT_MS 5000

enum util_attach_how {
	ATTACH_ANY,  /* one that runs, else start one */
	ATTACH_JOIN, /* one that runs */
	ATTACH_NEW,  /* start one; at a free port unless one is given */
};

struct util_attach {
	char host[256];
	int port; /* -1: not said; 0: any free one, for a new coordinator */
	char port_file[4096]; /* "": none */
	enum util_attach_how how;
	/* for a coordinator that has to be started; dir absolute or "" */
	char dir[4096];
	char bind[128]; /* "": as CKPT_BIND says, or 127.0.0.1 */
	int interval;
	int exit_on_last; /* it ends with its computation (the default) */
	/* result */
	int started; /* it was not there before */
};

/* From the environment; then --any-coordinator at port 7790 of this host. */
void util_attach_defaults(struct util_attach *where);

/* What getopt_long() gets: "h:p:j" and these lines. */
enum {
	OPTION_HOST = 'h',
	OPTION_PORT = 'p',
	OPTION_JOIN = 'j',
	OPTION_NEW_COORDINATOR = 0x100,
	OPTION_ANY_COORDINATOR,
	OPTION_PORT_FILE,
	OPTION_ATTACH_BIND,
	OPTION_OWN = 0x200, /* programs number theirs from here */
};
#define UTIL_ATTACH_SHORT "h:p:j"
#define UTIL_ATTACH_LONG                                                       \
	{ "host", required_argument, NULL, OPTION_HOST },                      \
	{ "port", required_argument, NULL, OPTION_PORT },                      \
	{ "port-file", required_argument, NULL, OPTION_PORT_FILE },            \
	{ "bind", required_argument, NULL, OPTION_ATTACH_BIND },               \
	{ "join", no_argument, NULL, OPTION_JOIN },                            \
	{ "new-coordinator", no_argument, NULL, OPTION_NEW_COORDINATOR },      \
	{ "any-coordinator", no_argument, NULL, OPTION_ANY_COORDINATOR }

/* 1: it was one of these and has been taken; 0: it is somebody else's. A bad
 * value ends the program with a line that says so. */
int util_attach_option(struct util_attach *where, int option,
		       const char *value);

/* A whole number between low and high, or die() naming what it is for. */
long util_number(const char *what, const char *text, long low, long high);

/* An open connection, or NULL with one line in err. For how == ATTACH_JOIN
 * nothing is ever started. */
struct wire_peer *util_coordinator_attach(struct util_attach *where,
					  enum wire_role role, char *err,
					  size_t errsize);

#endif
