/* SPDX-License-Identifier: MIT */
/*
 * Host groups that are restarted together have things in common (the two ends
 * of a connection), so their inits tell each other by way of the coordinator:
 * each asks once a round, and is answered when all have asked.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "restart/kinds.h"
#include "restart/restore.h"
#include "restart/say.h"
#include "util/cookie.h"
#include "wire/peer.h"

#define CONNECT_MS 20000

static struct {
	struct wire_peer *peer;
	unsigned char cookie[UTIL_COOKIE_BYTES];
	char nonce[64];
} meeting;

static void open_meeting(const struct job *job)
{
	const char *colon = strrchr(job->coordinator, ':');
	char host[sizeof(job->coordinator)], error[512];
	int port = atoi(colon + 1);

	snprintf(host, sizeof(host), "%.*s", (int)(colon - job->coordinator),
		 job->coordinator);
	if (util_cookie_read(host, port, meeting.cookie, error,
			     sizeof(error)) < 0)
		fail("%s", error);
	meeting.peer = wire_connect(host, port, meeting.cookie, ROLE_RESTART,
				    CONNECT_MS, error, sizeof(error));
	if (!meeting.peer)
		fail("%s", error);
}

static int is_loopback(const char *host)
{
	return strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0;
}

/* Who is on the coordinator's host is there where we have found that. */
static void place_host(struct ckpt_meeting *end, const char *host)
{
	struct sockaddr_storage name;
	socklen_t length = sizeof(name);

	snprintf(end->host, sizeof(end->host), "%s", host);
	if (is_loopback(host) &&
	    getpeername(wire_fd(meeting.peer), (struct sockaddr *)&name,
			&length) == 0)
		getnameinfo((struct sockaddr *)&name, length, end->host,
			    sizeof(end->host), NULL, 0, NI_NUMERICHOST);
}

static json_t *ends_said(const struct ckpt_meeting *ends, size_t count)
{
	json_t *list = json_array();
	size_t i;

	for (i = 0; i < count; i++)
		json_array_append_new(list, json_pack("[s, s, s]", ends[i].mine,
						      ends[i].theirs,
						      ends[i].says));
	return list;
}

static void ends_heard(struct ckpt_meeting *ends, size_t count,
		       const json_t *answers)
{
	size_t i;

	for (i = 0; i < count; i++) {
		const json_t *answer = json_array_get(answers, i);
		const char *hears =
			json_string_value(json_array_get(answer, 1));
		const char *host = json_string_value(json_array_get(answer, 2));

		ends[i].wanted =
			(int)json_integer_value(json_array_get(answer, 0));
		ends[i].heard = hears && host;
		snprintf(ends[i].hears, sizeof(ends[i].hears), "%s",
			 hears ? hears : "");
		if (ends[i].heard)
			place_host(&ends[i], host);
	}
}

int ckpt_meet(struct ckpt_restore *r, struct ckpt_meeting *ends, size_t count)
{
	const struct job *job = r->job;
	enum wire_type type;
	json_t *body;
	int ret;

	if (!meeting.peer)
		open_meeting(job);
	ret = wire_send(meeting.peer, WIRE_MEET,
			json_pack("{s:s, s:i, s:o}", "computation",
				  job->computation, "group", job->group,
				  "ends", ends_said(ends, count)));
	/* Its restart may not have begun on the other host: who knows how long
	 * that takes, and whether it comes, is the coordinator. */
	if (ret == 0)
		ret = wire_receive(meeting.peer, &type, &body, -1);
	if (ret == 0 && type != WIRE_MET) {
		json_decref(body);
		ret = -EPROTO;
	}
	if (ret < 0) {
		report("the other host groups cannot be asked for their ends of connections: %s",
		       *wire_error(meeting.peer) ? wire_error(meeting.peer)
						 : strerror(-ret));
		return ret;
	}
	snprintf(meeting.nonce, sizeof(meeting.nonce), "%s",
		 wire_string(body, "nonce", ""));
	ends_heard(ends, count, json_object_get(body, "ends"));
	json_decref(body);
	return 0;
}

void ckpt_proof(struct ckpt_restore *r, const char *what,
		unsigned char proof[32])
{
	char text[256];
	int length = snprintf(text, sizeof(text), "%s %s %s",
			      r->job->computation, meeting.nonce, what);

	_Static_assert(crypto_auth_BYTES == 32, "proof");
	_Static_assert(crypto_auth_KEYBYTES == UTIL_COOKIE_BYTES, "key");
	crypto_auth(proof, (const unsigned char *)text,
		    (unsigned long long)length < sizeof(text) ?
			    (unsigned long long)length :
			    sizeof(text) - 1,
		    meeting.cookie);
}

int ckpt_group(struct ckpt_restore *r)
{
	return r->job->group;
}

const char *ckpt_host_address(struct ckpt_restore *r, size_t nth)
{
	const json_t *groups = json_object_get(r->job->manifest, "groups");
	const json_t *facts = json_object_get(json_array_get(groups, 0),
					      "facts");

	return json_string_value(
		json_array_get(json_object_get(facts, "addresses"), nth));
}

void meeting_hold(struct ckpt_restore *r)
{
	const struct ckpt_restorer *k;
	size_t i;
	int ret = 0;

	for (i = 0; i < kinds_count() && ret == 0; i++) {
		k = kinds_at(i);
		if (k && k->meet)
			ret = k->meet(r);
	}
	wire_close(meeting.peer);
	meeting.peer = NULL;
	explicit_bzero(meeting.cookie, sizeof(meeting.cookie));
	if (ret < 0)
		fail("connections between host groups cannot be made again: %s",
		     strerror(-ret));
}
