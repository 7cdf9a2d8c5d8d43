/* SPDX-License-Identifier: MIT */
/*
 * The checkpoint under way, from PREPARE to COMMIT or ABORT. Driven by the
 * coordinator's messages on one side and by what the processes say on the
 * other; all of it in the event loop.
 */
#ifndef AGENT_CHECKPOINT_H
#define AGENT_CHECKPOINT_H

#include <jansson.h>
#include <sys/types.h>

#include "wire/phases.h"
#include "wire/service.h"

struct member;
struct service;

/* From the coordinator. */
void checkpoint_prepare(const json_t *body);
void checkpoint_phase(enum wire_phase phase, const json_t *body);
void checkpoint_abort(const json_t *body);
/* The coordinator is gone: what is not being committed is aborted. */
void checkpoint_orphaned(void);

/* From the group. */
void checkpoint_hello(struct service *service,
		      const struct service_hello *hello);
void checkpoint_member_died(struct member *m);

int checkpoint_busy(void);
int checkpoint_is_writer(pid_t pid);
/* The phase under way, PHASE_IDLE if none. */
enum wire_phase checkpoint_now(void);

#endif
