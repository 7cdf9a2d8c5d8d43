/* SPDX-License-Identifier: MIT */
#ifndef PLUGINS_SIGNALFD_FORMAT_H
#define PLUGINS_SIGNALFD_FORMAT_H

#include <stdint.h>

#define SIGNALFD_VERSION 1

struct signalfd_record {
	uint64_t mask; /* bit n: signal n + 1 */
};

#endif
