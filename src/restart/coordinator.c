/* SPDX-License-Identifier: MIT */
/*
 * The coordinator of the restarted job: attached before anything is created,
 * so that a refusal costs nothing; the connection stays until it says that
 * all processes have come back and run.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "restart/job.h"
#include "restart/say.h"
#include "wire/peer.h"

#define ANSWER_MS 20000

static struct wire_peer *peer;
static int port;

static struct wire_peer *attach(struct util_attach *where)
{
	char error[512];
	struct wire_peer *found = util_coordinator_attach(
		where, ROLE_RESTART, error, sizeof(error));

	if (!found)
		fail("%s", error);
	return found;
}

static json_t *request(const struct job *job)
{
	char *dir = strdup(job->computation_dir), *slash;
	char host[256] = "";
	json_t *body;

	gethostname(host, sizeof(host) - 1);
	if (!dir)
		fail("out of memory");
	slash = strrchr(dir, '/');
	if (slash)
		*slash = 0;
	body = json_pack("{s:s, s:s, s:s, s:I, s:i, s:i, s:o}", "computation", job->id,
			 "name", job->name, "dir",
			 job->options->ckptdir ? job->options->ckptdir
			 : *dir		       ? dir
					       : "/",
			 "generation", (json_int_t)job->generation, "groups",
			 job->groups, "group", job->group, "host",
			 wire_text(host));
	if (body && job->options->interval >= 0)
		json_object_set_new(body, "interval",
				    json_integer(job->options->interval));
	/* Compression, kept generations ... as the user chose at launch. */
	if (body && json_is_object(json_object_get(job->manifest, "options")))
		json_object_set(body, "options",
				json_object_get(job->manifest, "options"));
	free(dir);
	return body;
}

/* 1: joined; 0: it has another computation. */
static int ask(struct job *job, const struct util_attach *where)
{
	enum wire_type type;
	json_t *body;
	int ret = wire_send(peer, WIRE_RESTORE, request(job));

	if (ret == 0)
		ret = wire_receive(peer, &type, &body, ANSWER_MS);
	if (ret < 0)
		fail("the coordinator at %s does not answer: %s",
		     wire_address(peer),
		     *wire_error(peer) ? wire_error(peer) : strerror(-ret));
	if (type == WIRE_REFUSED) {
		if (wire_bool(body, "busy", 0)) {
			json_decref(body);
			return 0;
		}
		fail("the coordinator at %s refuses: %s", wire_address(peer),
		     wire_string(body, "text", "it gives no reason"));
	}
	if (type != WIRE_JOINED)
		fail("the coordinator at %s answers %s, which makes no sense: its version is another one",
		     wire_address(peer), wire_name(type));
	snprintf(job->computation, sizeof(job->computation), "%s",
		 wire_string(body, "computation", job->id));
	if (snprintf(job->coordinator, sizeof(job->coordinator), "%s:%d",
		     where->host, where->port) >=
	    (int)sizeof(job->coordinator))
		fail("the coordinator's host name is too long: %s",
		     where->host);
	port = where->port;
	json_decref(body);
	return 1;
}

void coordinator_attach(struct job *job)
{
	struct util_attach where = job->options->coordinator;

	if (job->options->ckptdir)
		snprintf(where.dir, sizeof(where.dir), "%s",
			 job->options->ckptdir);
	if (job->options->interval >= 0)
		where.interval = job->options->interval;
	where.exit_on_last = 1;
	/* Another one for each restart, never 0, within what agents take. */
	job->life = ((uint32_t)time(NULL) & 0x3fffffff) | 1;
	peer = attach(&where);
	if (ask(job, &where))
		goto said;
	if (where.how == ATTACH_JOIN || where.started)
		fail("the coordinator at %s:%d is busy with another computation: leave -j away to start a new one",
		     where.host, where.port);
	say("the coordinator at %s:%d is busy with another computation: starting a new one",
	    where.host, where.port);
	wire_close(peer);
	where.how = ATTACH_NEW;
	where.port = 0;
	where.exit_on_last = 1;
	peer = attach(&where);
	if (!ask(job, &where))
		fail("the new coordinator is busy already: try again");
said:
	if (where.started)
		say("coordinator at %s:%d", where.host, where.port);
}

int coordinator_port(void)
{
	return port;
}

int coordinator_fd(void)
{
	return peer ? wire_fd(peer) : -1;
}

int coordinator_ready(void)
{
	enum wire_type type;
	json_t *body;
	int ret = wire_pump(peer), ok = 0;

	while (wire_next(peer, &type, &body) == 1) {
		if (type == WIRE_REPLY) {
			if (!wire_bool(body, "ok", 0))
				fail("%s", wire_string(body, "text",
						       "the restart failed"));
			ok = 1;
		}
		json_decref(body);
	}
	if (!ok && ret < 0)
		fail("the coordinator has gone: %s", wire_error(peer));
	if (ok) {
		wire_close(peer);
		peer = NULL;
	}
	return ok;
}
