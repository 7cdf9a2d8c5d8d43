/* SPDX-License-Identifier: MIT */
/*
 * The checkpoint under way, from PREPARE to COMMIT or ABORT. Driven by the
 * coordinator's messages on one side and by what the processes say on the
 * other; all of it in the event loop.
 */
#ifndef AGENT_CHECKPOINT_H
#define AGENT_CHECKPOINT_H

#include <jansson.h>

#include "wire/phases.h"

/* From the coordinator. */
void checkpoint_prepare(const json_t *body);
void checkpoint_phase(enum wire_phase phase, const json_t *body);
void checkpoint_abort(const json_t *body);
/* The coordinator is gone: what is not being committed is aborted. */
void checkpoint_orphaned(void);

int checkpoint_busy(void);

#endif
