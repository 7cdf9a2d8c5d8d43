/* SPDX-License-Identifier: MIT */
/*
 * Connections of service threads (agent.sock), writers (socket pairs) and
 * newcomers' agents. What they say goes to their owner; event loop only.
 */
#ifndef AGENT_SERVICE_H
#define AGENT_SERVICE_H

#include <sys/types.h>

#include "agent/loop.h"
#include "wire/service.h"

struct service;

struct service_owner {
	/* fd: the descriptor that came with it or -1, now the owner's. The
	 * service may be closed in here. */
	void (*message)(struct service *service,
			const struct service_message *message, int fd);
	/* The other side has closed or broken the rules; closed afterwards. */
	void (*lost)(struct service *service);
};

struct service {
	struct loop_source source;
	pid_t pid; /* by SO_PEERCRED; a writer's: of its process */
	const struct service_owner *owner;
	void *data; /* the owner's */
	int closed;
	struct service *next; /* among the closed ones, or waiting guests */
};

int service_open(void); /* start to accept on agent.listen_fd */

/* Answer the guests: the coordinator knows of us. */
void service_admit(void);

/* A socket of ours, such as one end of a writer's pair. Takes over fd. */
struct service *service_adopt(int fd, pid_t pid,
			      const struct service_owner *owner, void *data);
void service_close(struct service *service);
/* Between two rounds of the loop: free what was closed. */
void service_bury(void);

/* body: one of the structs of service.h, or NULL. 0 or -errno. */
int service_say(struct service *service, enum service_type type,
		const void *body, size_t length);
int service_say_with(struct service *service, enum service_type type,
		     const void *body, size_t length, const int *fds,
		     unsigned count);

#endif
