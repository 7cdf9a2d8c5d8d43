/* SPDX-License-Identifier: MIT */
#ifndef PLUGINS_EVENTFD_FORMAT_H
#define PLUGINS_EVENTFD_FORMAT_H

#include <stdint.h>

#define EVENTFD_VERSION 1

struct eventfd_record {
	uint64_t count;
	uint32_t semaphore;
	uint32_t pad;
};

#endif
