/* SPDX-License-Identifier: MIT */
/* The command line of ckpt_restart; every option has a CKPT_ variable. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdint.h>

#include "util/attach.h"

enum options_capsule { CAPSULE_AUTO, CAPSULE_ALWAYS, CAPSULE_NEVER };

struct options {
	struct util_attach coordinator;
	const char *where;   /* DIR */
	char *ckptdir;	     /* for further checkpoints; NULL: as before */
	int interval;	     /* -1: not said */
	uint64_t generation; /* 0: the newest */
	int reopen;	     /* --files reopen */
	int files_said;	     /* else as at the checkpoint */
	int verify;	     /* check every block beforehand */
	int lazy;	     /* memory is read when it is touched */
	enum options_capsule capsule;
	int group; /* of several: this one only; -1: all */
	/* Where host groups go: names in the order given; OLD=NEW. */
	char **hosts, **maps;
	size_t host_count, map_count;
};

void options_parse(struct options *o, int argc, char **argv);

#endif
