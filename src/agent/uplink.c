/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "agent/uplink.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/checkpoint.h"
#include "agent/loop.h"
#include "agent/members.h"
#include "agent/rebirth.h"
#include "util/cookie.h"
#include "util/log.h"
#include "util/runtime.h"

#define RETRY_MS 100	  /* doubles ... */
#define RETRY_MAX_MS 3000 /* ... up to this */
#define LAST_WORDS_MS 2000

static struct {
	struct wire_peer *peer; /* NULL: none, the timer will dial */
	struct loop_source source;
	uint32_t events;
	int registered, known;
	uint64_t retry_ms;
	char complaint[256]; /* the last one logged */
	struct loop_timer retry;
	json_t *state; /* the last STATE, given back when we register */
} uplink;

int uplink_is_known(void)
{
	return uplink.known;
}

int uplink_is_up(void)
{
	return uplink.peer && uplink.registered;
}

/* ---- what the coordinator says ---- */

static void on_state(const json_t *body)
{
	json_decref(uplink.state);
	uplink.state = json_deep_copy(body);
	uplink.known = 1;
	agent_known();
}

static void on_prepare(const json_t *body)
{
	checkpoint_prepare(body);
}

static void on_stop(const json_t *body)
{
	checkpoint_phase(PHASE_STOP, body);
}

static void on_capture(const json_t *body)
{
	checkpoint_phase(PHASE_CAPTURE, body);
}

static void on_snapshot(const json_t *body)
{
	checkpoint_phase(PHASE_SNAPSHOT, body);
}

static void on_release(const json_t *body)
{
	checkpoint_phase(PHASE_RELEASE, body);
}

static void on_commit(const json_t *body)
{
	checkpoint_phase(PHASE_COMMIT, body);
}

static void on_abort(const json_t *body)
{
	checkpoint_abort(body);
}

static void on_query(const json_t *body)
{
	uplink_say(WIRE_PROCESSES,
		   json_pack("{s:I, s:o}", "seq",
			     (json_int_t)wire_int(body, "seq", 0), "processes",
			     members_report()));
}

static void on_resume(const json_t *body)
{
	(void)body;
	rebirth_resume();
}

static void on_kill(const json_t *body)
{
	(void)body;
	log_line("the coordinator asks to kill all processes");
	members_kill();
}

static void on_quit(const json_t *body)
{
	(void)body;
	log_line("the coordinator is leaving");
	agent_dismiss();
}

static void (*const handlers[WIRE_TYPE_COUNT])(const json_t *body) = {
#define TO_AGENT(id, handler) [WIRE_##id] = handler,
#include "wire/messages.def"
};

/* ---- the connection ---- */

static void dial_later(void)
{
	loop_timer_set(&uplink.retry, uplink.retry_ms);
	uplink.retry_ms *= 2;
	if (uplink.retry_ms > RETRY_MAX_MS)
		uplink.retry_ms = RETRY_MAX_MS;
}

static void complain(const char *why)
{
	/* Once for each reason, not for each try. */
	if (strncmp(uplink.complaint, why, sizeof(uplink.complaint) - 1) == 0)
		return;
	snprintf(uplink.complaint, sizeof(uplink.complaint), "%s", why);
	log_line("coordinator %s: %s", agent.coordinator, why);
}

static void lost(void)
{
	int was_up = uplink.registered;

	complain(wire_error(uplink.peer)[0] ? wire_error(uplink.peer)
					    : "the connection has ended");
	loop_remove(&uplink.source);
	wire_close(uplink.peer);
	uplink.peer = NULL;
	uplink.registered = uplink.known = 0;
	dial_later();
	if (was_up)
		checkpoint_orphaned();
}

static void events_set(void)
{
	uint32_t events = EPOLLIN;

	if (wire_wants_write(uplink.peer))
		events |= EPOLLOUT;
	if (events != uplink.events)
		loop_modify(&uplink.source, events);
	uplink.events = events;
}

void uplink_say(enum wire_type type, json_t *body)
{
	if (!uplink.peer || !wire_is_open(uplink.peer)) {
		json_decref(body);
		return;
	}
	/* An error shows up again when the loop next looks at the peer; from
	 * here nobody may be told, as the caller is in the middle of it. */
	if (wire_send(uplink.peer, type, body) < 0)
		log_line("cannot tell the coordinator %s", wire_name(type));
	if (wire_wants_write(uplink.peer))
		events_set();
}

static void introduce(void)
{
	char host[256] = "";

	gethostname(host, sizeof(host) - 1);
	members_scan();
	uplink.registered = 1;
	uplink.retry_ms = RETRY_MS;
	uplink.complaint[0] = 0;
	log_line("connected to the coordinator at %s", agent.coordinator);
	uplink_say(WIRE_REGISTER,
		   json_pack("{s:o, s:I, s:i, s:o, s:b, s:i, s:i, s:i, s:s, "
			     "s:O?, s:i}",
			     "host", wire_text(host), "group",
			     (json_int_t)util_host_group(), "pid",
			     (int)getpid(), "runtime_dir",
			     wire_text(agent.group_dir), "capsule",
			     agent.capsule, "uid", (int)geteuid(), "expect",
			     rebirth_busy() ? (int)agent.expect : 0,
			     "processes", (int)members_count(), "computation",
			     agent.computation, "state", uplink.state, "index",
			     agent.index));
	rebirth_report();
	agent_check_end(); /* it may have waited for this */
}

static void look(struct loop_source *source, uint32_t events)
{
	enum wire_type type;
	json_t *body;
	int ret = wire_pump(uplink.peer), got;

	(void)source;
	(void)events;
	if (!uplink.registered && wire_is_open(uplink.peer))
		introduce();
	while ((got = wire_next(uplink.peer, &type, &body)) == 1) {
		if (handlers[type])
			handlers[type](body);
		json_decref(body);
	}
	if (ret < 0 || got < 0)
		lost();
	else
		events_set();
}

static void dial(struct loop_timer *timer)
{
	unsigned char cookie[UTIL_COOKIE_BYTES];
	char host[256], why[256];
	const char *colon = strrchr(agent.coordinator, ':');
	int port = atoi(colon + 1);

	(void)timer;
	snprintf(host, sizeof(host), "%.*s", (int)(colon - agent.coordinator),
		 agent.coordinator);
	if (util_cookie_read(host, port, cookie, why, sizeof(why)) < 0) {
		complain(why);
		dial_later();
		return;
	}
	uplink.peer =
		wire_dial(host, port, cookie, ROLE_AGENT, why, sizeof(why));
	explicit_bzero(cookie, sizeof(cookie));
	if (!uplink.peer) {
		complain(why);
		dial_later();
		return;
	}
	uplink.source.fd = wire_fd(uplink.peer);
	uplink.source.ready = look;
	uplink.events = EPOLLIN | EPOLLOUT;
	if (loop_add(&uplink.source, uplink.events) < 0) {
		wire_close(uplink.peer);
		uplink.peer = NULL;
		dial_later();
	}
}

int uplink_open(void)
{
	const char *colon = strrchr(agent.coordinator, ':');

	if (!colon || colon == agent.coordinator || atoi(colon + 1) <= 0)
		return -EINVAL;
	uplink.retry_ms = RETRY_MS;
	uplink.retry.fire = dial;
	dial(&uplink.retry);
	return 0;
}

/* Until the coordinator has closed: to close with something unread would be a
 * reset, which may overtake our last words. */
static void hear_out(int fd)
{
	struct pollfd wait = {.fd = fd, .events = POLLIN};
	uint64_t until = loop_now() + LAST_WORDS_MS * 1000000ull;
	char rest[4096];
	ssize_t n = 1;

	shutdown(fd, SHUT_WR);
	while (n != 0 && loop_now() < until &&
	       poll(&wait, 1, LAST_WORDS_MS) > 0) {
		n = recv(fd, rest, sizeof(rest), MSG_DONTWAIT);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			break;
	}
}

void uplink_close(void)
{
	if (!uplink.peer)
		return;
	if (wire_flush(uplink.peer, LAST_WORDS_MS) == 0 && uplink.registered)
		hear_out(wire_fd(uplink.peer));
	wire_close(uplink.peer);
	uplink.peer = NULL;
}
