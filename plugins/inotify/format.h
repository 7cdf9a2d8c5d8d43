/* SPDX-License-Identifier: MIT */
#ifndef PLUGINS_INOTIFY_FORMAT_H
#define PLUGINS_INOTIFY_FORMAT_H

#include <stdint.h>

#define INOTIFY_VERSION 1

struct inotify_record {
	uint32_t unread; /* bytes of events, which are not kept */
	uint32_t count;	 /* watches follow, unpadded: struct inotify_watch
			  * and the path */
};

struct inotify_watch {
	int32_t wd;
	uint32_t mask;
	uint64_t dev, ino;
	uint32_t path_length;
	uint32_t pad;
};

#endif
