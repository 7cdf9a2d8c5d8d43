/* SPDX-License-Identifier: MIT */
/* The frozen half of sockopt.h. */
#ifndef PLUGINS_SOCKOPT_SAVE_H
#define PLUGINS_SOCKOPT_SAVE_H

#include "plugins/sockopt.h"
#include "sys/sys.h"

#define SOCKOPT_SOCKET 1 /* SOL_SOCKET */
#define SOCKOPT_TYPE 3
#define SOCKOPT_SNDBUF 7
#define SOCKOPT_RCVBUF 8
#define SOCKOPT_LINGER 13
#define SOCKOPT_PASS_CREDENTIALS 16
#define SOCKOPT_PEERCRED 17
#define SOCKOPT_RCVTIMEO 20
#define SOCKOPT_SNDTIMEO 21
#define SOCKOPT_ACCEPTCONN 30
#define SOCKOPT_PROTOCOL 38
#define SOCKOPT_DOMAIN 39
#define SOCKOPT_PEEK_OFF 42
#define SOCKOPT_BUF_LOCK 72

static inline long sockopt_get(int fd, int level, int option, void *value,
			       uint32_t length)
{
	return SYS_CALL(SYS_getsockopt, fd, level, option, value, &length);
}

/* -1: there is none */
static inline int sockopt_int(int fd, int level, int option)
{
	int value = -1;

	return sockopt_get(fd, level, option, &value, sizeof(value)) < 0 ?
		       -1 :
		       value;
}

static inline void sockopt_save(int fd, struct sockopt_record *record)
{
	static const int numbers[] = {
#define SOCKOPT(number, name) number,
		SOCKOPT_LIST
#undef SOCKOPT
	};
	int i;

	for (i = 0; i < SOCKOPT_COUNT; i++)
		if (sockopt_get(fd, SOCKOPT_SOCKET, numbers[i],
				&record->values[i], sizeof(int32_t)) == 0)
			record->known |= 1u << i;
	sockopt_get(fd, SOCKOPT_SOCKET, SOCKOPT_SNDBUF, &record->send_buffer,
		    sizeof(int32_t));
	sockopt_get(fd, SOCKOPT_SOCKET, SOCKOPT_RCVBUF,
		    &record->receive_buffer, sizeof(int32_t));
	record->locks = sockopt_int(fd, SOCKOPT_SOCKET, SOCKOPT_BUF_LOCK);
	sockopt_get(fd, SOCKOPT_SOCKET, SOCKOPT_LINGER, &record->linger_on,
		    2 * sizeof(int32_t));
	sockopt_get(fd, SOCKOPT_SOCKET, SOCKOPT_RCVTIMEO, &record->receive_s,
		    2 * sizeof(int64_t));
	sockopt_get(fd, SOCKOPT_SOCKET, SOCKOPT_SNDTIMEO, &record->send_s,
		    2 * sizeof(int64_t));
}

#endif
