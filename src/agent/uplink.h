/* SPDX-License-Identifier: MIT */
/*
 * The connection to the coordinator. When it is lost it is dialled again, at
 * growing intervals; the processes notice nothing.
 */
#ifndef AGENT_UPLINK_H
#define AGENT_UPLINK_H

#include "wire/peer.h"

int uplink_open(void); /* dials for the first time */
int uplink_is_up(void);
/* The coordinator has answered our REGISTER: no checkpoint is begun without
 * us any more. */
int uplink_is_known(void);
/* Takes over body. Dropped when the coordinator is not there. */
void uplink_say(enum wire_type type, json_t *body);
/* The last words: waits (shortly) until the kernel has them. */
void uplink_close(void);

#endif
