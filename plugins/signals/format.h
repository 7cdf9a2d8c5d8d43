/* SPDX-License-Identifier: MIT */
#ifndef PLUGINS_SIGNALS_FORMAT_H
#define PLUGINS_SIGNALS_FORMAT_H

#include <stdint.h>

#define SIGNALS_VERSION 1
#define SIGNALS_COUNT 64

/* The kernel's struct sigaction, not libc's. */
struct signals_action {
	uint64_t handler, flags, restorer, mask;
};

struct signals_pending {
	unsigned char info[128] __attribute__((aligned(8))); /* siginfo_t */
};

/* For people: the process puts its signals back from its own memory. */
struct signals_record {
	struct signals_action actions[SIGNALS_COUNT]; /* of signal index + 1 */
	uint32_t pending_count; /* struct signals_pending[] follows */
	uint32_t pad;
};

#endif
