/* SPDX-License-Identifier: MIT */
#ifndef PLUGINS_PIDFD_FORMAT_H
#define PLUGINS_PIDFD_FORMAT_H

#include <stdint.h>

#define PIDFD_VERSION 1

struct pidfd_record {
	/* -1: the process has ended and been waited for; -2: it is none of
	 * the computation's */
	int32_t pid;
	uint32_t flags; /* PIDFD_THREAD = O_EXCL */
};

#endif
