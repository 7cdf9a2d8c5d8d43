/* SPDX-License-Identifier: MIT */
/* The ordinary half of sockopt.h. */
#ifndef PLUGINS_SOCKOPT_RESTORE_H
#define PLUGINS_SOCKOPT_RESTORE_H

#include <sys/socket.h>

#include "plugins/sockopt.h"

#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72
#endif

/* The kernel doubles what it is given; the system's limit holds for those
 * without the privilege. */
static inline void sockopt_buffer(int fd, int force, int option, int32_t doubled)
{
	int value = doubled / 2, now = 0;
	socklen_t length = sizeof(now);

	if (doubled <= 0)
		return;
	getsockopt(fd, SOL_SOCKET, option, &now, &length);
	if (now == doubled)
		return; /* setting it would end the kernel's own tuning */
	if (setsockopt(fd, SOL_SOCKET, force, &value, sizeof(value)) < 0)
		setsockopt(fd, SOL_SOCKET, option, &value, sizeof(value));
}

/* Only what differs from a new socket: some may be set by root alone. */
static inline void sockopt_flags(int fd, const struct sockopt_record *record)
{
	static const int numbers[] = {
#define SOCKOPT(number, name) number,
		SOCKOPT_LIST
#undef SOCKOPT
	};
	int i;

	for (i = 0; i < SOCKOPT_COUNT; i++) {
		int value = 0;
		socklen_t length = sizeof(value);

		if (!(record->known & 1u << i) ||
		    getsockopt(fd, SOL_SOCKET, numbers[i], &value, &length) < 0)
			continue;
		if (value != record->values[i])
			setsockopt(fd, SOL_SOCKET, numbers[i],
				   &record->values[i], sizeof(int32_t));
	}
}

/* Sizes that nobody has set are the kernel's own affair. */
static inline void sockopt_buffers(int fd, const struct sockopt_record *record)
{
	if (record->locks & 1)
		sockopt_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF,
			       record->send_buffer);
	if (record->locks & 2)
		sockopt_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF,
			       record->receive_buffer);
	if (record->locks >= 0)
		setsockopt(fd, SOL_SOCKET, SO_BUF_LOCK, &record->locks,
			   sizeof(int32_t));
}

static inline void sockopt_restore(int fd, const struct sockopt_record *record)
{
	sockopt_flags(fd, record);
	sockopt_buffers(fd, record);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &record->linger_on,
		   2 * sizeof(int32_t));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &record->receive_s,
		   2 * sizeof(int64_t));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &record->send_s,
		   2 * sizeof(int64_t));
}

#endif
