/* SPDX-License-Identifier: MIT */
/*
 * The System V objects that one process saves: one record, struct sysv_object
 * after struct sysv_object, each with its content, padded to 8 bytes.
 *
 *	SYSV_SHM	nothing: its pages are those of the areas that have it
 *			attached, at least one of them in some image
 *	SYSV_SEM	uint16_t[size]
 *	SYSV_MSG	`count` times struct sysv_message + its bytes, padded
 *
 * The same object may be in several records; any will do.
 */
#ifndef PLUGINS_SYSV_FORMAT_H
#define PLUGINS_SYSV_FORMAT_H

#include <stdint.h>

enum sysv_type {
	SYSV_SHM = 1,
	SYSV_SEM = 2,
	SYSV_MSG = 3,
};

#define SYSV_REMOVED 01000 /* in mode: IPC_RMID has been called */

/* In flags. Used: semop(), msgsnd() or msgrcv() has been called. */
#define SYSV_USED 1u
#define SYSV_GUESSED 2u /* it may be somebody else's */

struct sysv_object {
	uint32_t type; /* enum sysv_type */
	int32_t id, key;
	uint32_t mode;
	uint32_t uid, gid, cuid, cgid;
	uint64_t size;	/* bytes; semaphores; most bytes in a queue */
	uint32_t count; /* messages */
	uint32_t flags;
	uint64_t length; /* of the content */
};
_Static_assert(sizeof(struct sysv_object) == 56, "a System V object");

struct sysv_message {
	int64_t type;
	uint64_t length;
};

static inline uint64_t sysv_padded(uint64_t length)
{
	return (length + 7) & ~7ull;
}

#endif
