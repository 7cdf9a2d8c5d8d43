/* SPDX-License-Identifier: MIT */
/*
 * A restarted group on its way back (--expect): its processes say REBORN and
 * wait; when all have come the coordinator hears RESTARTED, and RESUME lets
 * them go.
 */
#ifndef AGENT_REBIRTH_H
#define AGENT_REBIRTH_H

#include "wire/service.h"

struct member;
struct service;

void rebirth_open(void); /* when --expect was given */
void rebirth_hello(struct service *service, const struct service_hello *hello);
void rebirth_member_died(struct member *m);
/* From the coordinator; rebirth_report() when it is (again) there. */
void rebirth_resume(void);
void rebirth_report(void);

int rebirth_busy(void);

#endif
