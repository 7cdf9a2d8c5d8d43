/* SPDX-License-Identifier: MIT */
/* A POSIX message queue: struct mqueue_record, its name ("/name"), then
 * `messages` times struct mqueue_message and its bytes, in the order in which
 * they are received. Of all records of one queue in a checkpoint at least one
 * is `full`; the others say nothing of messages. */
#ifndef PLUGINS_MQUEUE_FORMAT_H
#define PLUGINS_MQUEUE_FORMAT_H

#include <stdint.h>

struct mqueue_record {
	int64_t most, size; /* mq_maxmsg, mq_msgsize */
	uint32_t mode, uid, gid;
	uint32_t deleted;
	uint32_t full;
	uint32_t messages;
	uint32_t notify; /* somebody has called mq_notify() */
	uint32_t name_length;
};
_Static_assert(sizeof(struct mqueue_record) == 48, "a message queue");

struct mqueue_message {
	uint32_t priority, length;
};

#endif
