/* SPDX-License-Identifier: MIT */
#include "agent/rebirth.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/members.h"
#include "agent/proc.h"
#include "agent/service.h"
#include "agent/uplink.h"
#include "util/log.h"

#define RESUME_MS 60000	    /* without word from the coordinator: go anyway */
#define STOP_NS 5000000000u /* for a stop to reach all threads */
#define COME_MS 600000 /* for all to come; a restart of much memory is slow */

struct reborn {
	struct reborn *next;
	pid_t pid;
	struct service *service;
};

static struct {
	int busy;
	int complete; /* all have come */
	int failed;
	unsigned came; /* of agent.expect */
	struct reborn *list;
	struct loop_timer deadline;
} rebirth;

int rebirth_busy(void)
{
	return rebirth.busy;
}

static void over(void)
{
	loop_timer_stop(&rebirth.deadline);
	rebirth.busy = 0;
	agent_check_end();
}

static void forget(struct reborn *r)
{
	struct reborn **at = &rebirth.list;

	while (*at != r)
		at = &(*at)->next;
	*at = r->next;
	free(r);
	if (!rebirth.list && (rebirth.complete || rebirth.failed))
		over();
}

/* End of file ends who has not been released: there is no half a job. */
static void failed(pid_t pid, int error, const char *what)
{
	if (rebirth.failed || !rebirth.busy)
		return;
	rebirth.failed = 1;
	log_line("the restart failed: process %d: %s", pid, what);
	uplink_say(WIRE_FAILED,
		   json_pack("{s:i, s:s, s:i, s:s, s:i, s:o}", "request", 0,
			     "phase", "restart", "pid", (int)pid, "program", "",
			     "error", abs(error), "text", wire_text(what)));
	while (rebirth.list) {
		service_close(rebirth.list->service);
		forget(rebirth.list);
	}
	over();
}

/* While they are parked: so nothing of them runs before they are continued.
 * They are released then, by the message that waits for them. */
static void stop_again(void)
{
	const char *at = agent.stopped;
	uint64_t until;
	char *end;
	pid_t pid;

	for (; at && *at; at = *end == ',' ? end + 1 : end) {
		pid = (pid_t)strtol(at, &end, 10);
		if (end == at || pid <= 1 || !members_find(pid))
			break;
		log_line("process %d was stopped and is again", pid);
		kill(pid, SIGSTOP);
		until = loop_now() + STOP_NS;
		while (!proc_has_stopped(pid) && loop_now() < until)
			sched_yield();
	}
	agent.stopped = NULL;
}

void rebirth_resume(void)
{
	if (!rebirth.busy || !rebirth.complete)
		return;
	stop_again();
	log_line("all %u processes go on", rebirth.came);
	for (struct reborn *r = rebirth.list; r; r = r->next)
		service_say(r->service, SERVICE_RELEASE, NULL, 0);
	/* Not being released is no failure any more; but do not wait for it. */
	rebirth.busy = 0;
	loop_timer_stop(&rebirth.deadline);
}

static void resume_late(struct loop_timer *timer)
{
	(void)timer;
	log_line("no word from the coordinator for %d s", RESUME_MS / 1000);
	rebirth_resume();
}

static void come_late(struct loop_timer *timer)
{
	(void)timer;
	log_line("%u of %u processes have come back", rebirth.came,
		 agent.expect);
	failed(0, -ETIMEDOUT, "not all processes have come back");
}

void rebirth_report(void)
{
	if (rebirth.busy && rebirth.complete)
		uplink_say(WIRE_RESTARTED,
			   json_pack("{s:i}", "processes", (int)rebirth.came));
}

static void said(struct service *service, const struct service_message *message,
		 int fd)
{
	struct reborn *r = service->data;

	if (fd >= 0)
		close(fd);
	switch (message->type) {
	case SERVICE_RELEASED:
		log_line("process %d runs again", r->pid);
		service_close(service);
		forget(r);
		break;
	case SERVICE_FAILED: {
		char text[sizeof(message->failed.text)];

		memcpy(text, message->failed.text, sizeof(text));
		text[sizeof(text) - 1] = 0;
		failed(r->pid, message->failed.error, text);
		break;
	}
	default:
		failed(r->pid, -EPROTO, "it is out of step");
	}
}

static void said_no_more(struct service *service)
{
	struct reborn *r = service->data;

	if (rebirth.busy)
		failed(r->pid, -ECONNRESET, "it has ended");
	else
		forget(r);
}

static const struct service_owner reborn_owner = {
	.message = said,
	.lost = said_no_more,
};

void rebirth_hello(struct service *service, const struct service_hello *hello)
{
	struct reborn *r;

	if (!rebirth.busy || (agent.life && hello->request != agent.life) ||
	    !members_seek(service->pid)) {
		log_line("process %d came back unexpectedly (life %u)",
			 service->pid, hello->request);
		service_close(service);
		return;
	}
	r = calloc(1, sizeof(*r));
	if (!r) {
		service_close(service);
		return;
	}
	r->pid = service->pid;
	r->service = service;
	r->next = rebirth.list;
	rebirth.list = r;
	service->data = r;
	service->owner = &reborn_owner;
	log_line("process %d has come back", r->pid);
	if (++rebirth.came < agent.expect)
		return;
	rebirth.complete = 1;
	rebirth.deadline.fire = resume_late;
	loop_timer_set(&rebirth.deadline, RESUME_MS);
	rebirth_report();
}

void rebirth_member_died(struct member *m)
{
	if (rebirth.busy)
		failed(m->pid, -ECONNRESET, "it has ended");
}

void rebirth_open(void)
{
	if (!agent.expect)
		return;
	rebirth.busy = 1;
	rebirth.deadline.fire = come_late;
	loop_timer_set(&rebirth.deadline, COME_MS);
}
