/* SPDX-License-Identifier: MIT */
#ifndef PLUGINS_FILE_FORMAT_H
#define PLUGINS_FILE_FORMAT_H

#include <stdint.h>

#define FILE_RECORD_VERSION 1

enum file_type {
	FILE_IS_REGULAR = 1,   /* by its IMAGE_FILE record */
	FILE_IS_DIRECTORY = 2, /* these by path */
	FILE_IS_DEVICE = 3,
	FILE_IS_PATH = 4,   /* O_PATH */
	FILE_IS_PSEUDO = 5, /* of /proc, /sys and their kind */
	FILE_IS_MEMFD = 6,  /* by its IMAGE_FILE record */
};

struct file_record {
	uint32_t type; /* enum file_type */
	uint32_t file; /* id of an IMAGE_FILE record, or 0 */
	uint64_t dev, ino, rdev;
	uint32_t mode;
	uint32_t deleted;
	uint32_t seals;	      /* memfd */
	uint32_t lock_count;  /* struct file_lock[] follows ... */
	uint32_t path_length; /* ... then the path, without NUL */
	uint32_t pad;
};

enum file_lock_kind {
	FILE_LOCK_POSIX = 1, /* the process's */
	FILE_LOCK_OFD = 2,   /* the description's, as are the next two */
	FILE_LOCK_FLOCK = 3,
	FILE_LOCK_LEASE = 4,
};

struct file_lock {
	uint32_t kind;	/* enum file_lock_kind */
	uint32_t write; /* 1: exclusive */
	uint64_t start;
	uint64_t length; /* 0: to the end, however far */
};

#endif
