/* SPDX-License-Identifier: MIT */
#ifndef PLUGINS_EPOLL_FORMAT_H
#define PLUGINS_EPOLL_FORMAT_H

#include <stdint.h>

#define EPOLL_VERSION 1

/* struct epoll_entry[] fills the record's body. An entry belongs to a
 * description and the number it was added by, which may be closed or lead
 * elsewhere by now. */
struct epoll_entry {
	uint64_t data;
	uint32_t events;
	int32_t fd;
	uint32_t object; /* id of the description; 0: none of this process */
	uint32_t pad;
};

#endif
