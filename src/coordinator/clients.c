/* SPDX-License-Identifier: MIT */
/*
 * What launch, restart, command and the console ask for. A request that
 * cannot be served yet stays with its client (retry) and is tried again
 * whenever something has changed, until its deadline.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "coordinator/coordinator.h"
#include "util/log.h"

#define QUERY_MS 2000
#define POSSIBLE_MS 15000 /* for agents on their way */
#define OVER_MS 3000	  /* for the last process of the former computation */
#define END_MS 10000	  /* for killed processes to be gone */
#define JOIN_SECONDS 20	  /* from JOIN to REGISTER */
#define RESTORE_SECONDS 120

static struct client *clients;
static char restart_nonce[33]; /* of the restart under way */

/* ---- clients ---- */

static struct client *client_new(struct connection *connection)
{
	struct client *client = calloc(1, sizeof(*client));

	if (!client)
		abort(); /* a few hundred bytes: there is no going on */
	client->connection = connection;
	client->deadline = NEVER;
	client->next = clients;
	clients = client;
	return client;
}

static struct client *client_of(struct connection *connection)
{
	if (!connection->client)
		connection->client = client_new(connection);
	return connection->client;
}

struct client *console_client(void)
{
	static struct client *console;

	if (!console)
		console = client_new(NULL);
	return console;
}

static void forget_request(struct client *client)
{
	json_decref(client->request);
	client->request = NULL;
	client->retry = NULL;
	client->deadline = NEVER;
}

static void forget_last(struct client *client)
{
	json_decref(client->last);
	free(client->last_text);
	client->last = NULL;
	client->last_text = NULL;
	client->awaits_end = 0;
}

/* A restart that gives up takes what it has made with it. */
static void restart_abandoned(const struct client *gone)
{
	char text[512];

	if (!computation.restoring)
		return;
	if (gone->group >= 0)
		snprintf(text, sizeof(text),
			 "the restart of host group %d on %s has failed",
			 gone->group, gone->host);
	else
		snprintf(text, sizeof(text), "the restart was given up");
	log_line("%s before all were back", text);
	computation.restoring = 0;
	clients_restart_over(0, text);
	groups_send(WIRE_KILL, json_object());
	if (!groups_count())
		computation.deadline = NEVER;
}

void client_free(struct client *client)
{
	struct client **at;

	for (at = &clients; *at != client;)
		at = &(*at)->next;
	*at = client->next;
	forget_request(client);
	forget_last(client);
	json_decref(client->meets);
	if (client->restoring)
		restart_abandoned(client);
	if (client->joining || client->restoring)
		computation_changed();
	free(client);
}

static int is_busy(const struct client *client)
{
	return client->retry || client->seq || client->awaits_checkpoint ||
	       client->awaits_end;
}

void client_reply(struct client *client, int ok, json_t *data, const char *text)
{
	if (!client->connection) {
		console_say("%s", text);
		json_decref(data);
		return;
	}
	if (!data)
		data = json_pack("{s:b, s:o}", "ok", ok, ok ? "text" : "error",
				 wire_text(text));
	connection_send(client->connection, WIRE_REPLY,
			json_pack("{s:b, s:o, s:o}", "ok", ok, "text",
				  wire_text(text), "data", data));
}

__attribute__((format(printf, 3, 4))) static void
answer(struct client *client, int ok, const char *format, ...)
{
	char text[2048];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	client_reply(client, ok, NULL, text);
}

/* Keep the request; retry() is called now and whenever something changed. */
static void attempt(struct client *client, void (*retry)(struct client *client),
		    json_t *body, int64_t patience)
{
	if (is_busy(client)) {
		answer(client, 0, "one request after the other, please\n");
		return;
	}
	client->retry = retry;
	client->request = json_incref(body);
	client->deadline = loop_now() + patience;
	retry(client);
}

int clients_joining(void)
{
	struct client *c;
	int count = 0;

	for (c = clients; c; c = c->next)
		count += c->joining || c->restoring;
	return count;
}

int clients_holding(void)
{
	struct client *c;
	int count = 0;

	for (c = clients; c; c = c->next)
		count += c->holding;
	return count;
}

int clients_killing(void)
{
	struct client *c;
	int count = 0;

	for (c = clients; c; c = c->next)
		count += c->awaits_end;
	return count;
}

/* ---- launch ---- */

static void send_joined(struct client *client)
{
	connection_send(client->connection, WIRE_JOINED,
			json_pack("{s:s, s:s, s:o, s:b}", "computation",
				  computation.id, "name", computation.name,
				  "dir", wire_text(computation.dir), "busy",
				  0));
}

static void refuse(struct client *client, int busy, const char *text)
{
	connection_send(
		client->connection, WIRE_REFUSED,
		json_pack("{s:o, s:b}", "text", wire_text(text), "busy", busy));
}

/* A new program waits until a checkpoint or restart is over. */
static void try_join(struct client *client)
{
	const json_t *body = client->request;
	const char *dir = wire_string(body, "dir", "/");

	if (checkpoint_phase() != PHASE_IDLE || computation.restoring)
		return;
	client->joining = 1;
	client->holding = wire_bool(body, "hold", 0);
	if (!computation_exists())
		computation_begin(
			wire_string(body, "program", "program"),
			settings.dir[0] && !wire_bool(body, "dir_given", 0)
				? settings.dir
				: dir,
			wire_int(body, "interval", 0),
			json_object_get(body, "options"));
	else if (wire_int(body, "interval", 0) > 0)
		interval_set(wire_int(body, "interval", 0));
	computation_await_groups(JOIN_SECONDS);
	send_joined(client);
	forget_request(client);
}

void client_join(struct connection *connection, json_t *body)
{
	const char *dir = wire_string(body, "dir", "");

	if (dir[0] != '/' || strlen(dir) >= DIR_MAX) {
		connection_drop(connection, "JOIN without a directory");
		return;
	}
	attempt(client_of(connection), try_join, body, NEVER / 2);
}

/* ---- restart ---- */

/* What the program was launched with goes on to hold. */
static json_t *options_of(const json_t *body)
{
	char path[PATH_MAX + 64];
	json_t *manifest, *options;

	options = json_object_get(body, "options");
	if (json_is_object(options))
		return json_incref(options);
	snprintf(path, sizeof(path), "%s/ckpt-%s-%s/gen-%06d/manifest.json",
		 wire_string(body, "dir", ""), wire_string(body, "name", ""),
		 wire_string(body, "computation", ""),
		 (int)wire_int(body, "generation", 0));
	manifest = json_load_file(path, 0, NULL);
	options = json_incref(json_object_get(manifest, "options"));
	json_decref(manifest);
	return options;
}

/* Who brings the group already? */
static struct client *bringer(int group)
{
	struct client *c;

	for (c = clients; c; c = c->next)
		if (c->restoring && c->group == group && group >= 0)
			return c;
	return NULL;
}

static void restore_with(struct client *client)
{
	const json_t *body = client->request;

	client->restoring = 1;
	client->group = wire_int(body, "group", 0);
	snprintf(client->host, sizeof(client->host), "%s",
		 wire_string(body, "host", ""));
	computation_await_groups(RESTORE_SECONDS);
	send_joined(client);
	forget_request(client);
}

/* Another group of the restart that is under way: 1, it has been answered. */
static int join_restore(struct client *client)
{
	const json_t *body = client->request;
	int group = wire_int(body, "group", 0);
	struct client *other = bringer(group);
	char text[512];

	if (!computation.restoring ||
	    strcmp(computation.restored_id,
		   wire_string(body, "computation", "")) ||
	    computation.restored_generation != wire_int(body, "generation", 0) ||
	    computation.restoring != wire_int(body, "groups", 1) ||
	    computation.restoring < 2)
		return 0;
	if (other || group >= computation.restoring) {
		snprintf(text, sizeof(text),
			 "host group %d is being restarted already, on %s",
			 group, other ? other->host : "another host");
		forget_request(client);
		refuse(client, 0, text);
		return 1;
	}
	restore_with(client);
	return 1;
}

static void make_nonce(void)
{
	unsigned char bytes[16];
	size_t i;

	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		abort();
	for (i = 0; i < sizeof(bytes); i++)
		snprintf(restart_nonce + 2 * i, 3, "%02x", bytes[i]);
}

static void try_restore(struct client *client)
{
	const json_t *body = client->request;
	int64_t groups = wire_int(body, "groups", 1);
	json_t *options;

	if (join_restore(client))
		return;
	if (computation_exists())
		return; /* perhaps its last process is just going */
	options = options_of(body);
	computation_continue(wire_string(body, "computation", ""),
			     wire_string(body, "name", ""),
			     wire_string(body, "dir", ""),
			     wire_int(body, "generation", 0), options);
	json_decref(options);
	computation.restoring = groups > 0 && groups < 100000 ? groups : 1;
	snprintf(computation.restored_id, sizeof(computation.restored_id), "%s",
		 wire_string(body, "computation", ""));
	computation.restored_generation = wire_int(body, "generation", 0);
	make_nonce();
	interval_set(wire_int(body, "interval", settings.interval));
	restore_with(client);
}

static int is_id(const char *text)
{
	return *text && strlen(text) < sizeof(computation.id) &&
	       strspn(text, "0123456789abcdef") == strlen(text);
}

void client_restore(struct connection *connection, json_t *body)
{
	const char *dir = wire_string(body, "dir", "");

	if (!is_id(wire_string(body, "computation", "")) || dir[0] != '/' ||
	    strlen(dir) >= DIR_MAX) {
		connection_drop(connection, "malformed RESTORE");
		return;
	}
	attempt(client_of(connection), try_restore, body, OVER_MS);
}

void clients_restart_over(int ok, const char *text)
{
	struct client *c;

	for (c = clients; c; c = c->next)
		if (c->restoring) {
			c->restoring = 0;
			client_reply(c, ok, NULL, text);
		}
}

/* ---- restarted groups meet ---- */

/* The address it has called from. */
static json_t *host_of(const struct client *client)
{
	const char *address = wire_address(client->connection->peer);
	const char *colon = strrchr(address, ':');
	size_t length = colon ? (size_t)(colon - address) : 0;

	if (length > 1 && *address == '[') {
		address++;
		length -= 2;
	}
	return json_stringn(address, length);
}

static struct client *meeting(int group)
{
	struct client *c;

	for (c = clients; c; c = c->next)
		if (c->meets && c->group == group)
			return c;
	return NULL;
}

static json_t *meeting_answer(const struct match *match, const json_t *ends)
{
	json_t *answers = json_array(), *end;
	struct match_answer a;
	size_t i;

	json_array_foreach(ends, i, end) {
		struct client *other =
			match_find(match, end, &a) ? meeting(a.group) : NULL;

		json_array_append_new(
			answers, other ? json_pack("[i, O, o]", a.wanted,
						   a.says, host_of(other)) :
					 json_pack("[i]", a.wanted));
	}
	return answers;
}

/* All have come. */
static void meeting_hold(void)
{
	struct match *match = match_new();
	struct client *c;

	for (c = clients; c; c = c->next)
		if (c->meets)
			match_add(match, c->group,
				  json_object_get(c->meets, "ends"));
	for (c = clients; c; c = c->next)
		if (c->meets)
			match_want(match, json_object_get(c->meets, "ends"));
	for (c = clients; c; c = c->next)
		if (c->meets)
			connection_send(
				c->connection, WIRE_MET,
				json_pack("{s:s, s:o}", "nonce", restart_nonce,
					  "ends",
					  meeting_answer(
						  match,
						  json_object_get(c->meets,
								  "ends"))));
	for (c = clients; c; c = c->next) {
		json_decref(c->meets);
		c->meets = NULL;
	}
	match_free(match);
}

void client_meet(struct connection *connection, json_t *body)
{
	struct client *client = client_of(connection), *c;
	int group = wire_int(body, "group", -1), count = 0;

	if (!computation.restoring || client->meets || group < 0 ||
	    group >= computation.restoring ||
	    strcmp(computation.id, wire_string(body, "computation", "")) ||
	    !json_is_array(json_object_get(body, "ends")) || meeting(group)) {
		connection_drop(connection, "malformed MEET");
		return;
	}
	client->group = group;
	client->meets = json_incref(body);
	for (c = clients; c; c = c->next)
		count += c->meets != NULL;
	if (count == computation.restoring)
		meeting_hold();
}

/* ---- status and list ---- */

static void ask_processes(struct client *client, int wants_list)
{
	if (is_busy(client)) {
		answer(client, 0, "one request after the other, please\n");
		return;
	}
	client->seq = groups_query();
	client->wants_list = wants_list;
	client->deadline = loop_now() + QUERY_MS;
}

void client_status(struct connection *connection, json_t *body)
{
	(void)body;
	ask_processes(client_of(connection), 0);
}

void client_list(struct connection *connection, json_t *body)
{
	(void)body;
	ask_processes(client_of(connection), 1);
}

/* An agent that does not answer in time is told of with what it said last. */
static void tell_processes(struct client *client)
{
	char text[PATH_MAX + 512], *list;

	client->seq = 0;
	client->deadline = NEVER;
	if (client->wants_list) {
		list = list_text();
		client_reply(client, 1, list_data(), list ? list : "");
		free(list);
		return;
	}
	status_text(text, sizeof(text));
	client_reply(client, 1, status_data(), text);
}

/* ---- checkpoint ---- */

static void try_checkpoint(struct client *client)
{
	struct checkpoint_request request = {
		.hold = wire_bool(client->request, "kill", 0),
		.fault = wire_string(client->request, "fault", NULL),
	};
	char err[1024];
	int wait = wire_bool(client->request, "wait", 1), ret;

	if (wire_bool(client->request, "without_lost", 0))
		computation_forget_lost();
	ret = checkpoint_possible(err, sizeof(err));

	if (ret == -EBUSY) /* after the one under way, however long it takes */
		client->deadline = loop_now() + POSSIBLE_MS;
	if (ret == -EBUSY || ret == -EAGAIN)
		return;
	if (!ret) {
		/* It may fail before it returns. */
		client->awaits_checkpoint = wait;
		client->kills_after = request.hold;
		ret = checkpoint_start(&request, err, sizeof(err));
	}
	forget_request(client);
	if (ret < 0) {
		client->awaits_checkpoint = 0;
		answer(client, 0, "no checkpoint: %s\n", err);
	} else if (!wait) {
		answer(client, 1, "checkpoint started\n");
	}
}

void client_checkpoint(struct connection *connection, json_t *body)
{
	attempt(client_of(connection), try_checkpoint, body, POSSIBLE_MS);
}

void clients_progress(const json_t *body)
{
	struct client *c;

	for (c = clients; c; c = c->next)
		if (c->awaits_checkpoint && c->connection)
			connection_send(c->connection, WIRE_PROGRESS,
					json_deep_copy(body));
}

static void await_end(struct client *client, json_t *data, const char *text)
{
	forget_last(client);
	client->last = json_incref(data);
	client->last_text = strdup(text);
	client->awaits_end = 1;
	client->deadline = loop_now() + END_MS;
}

void clients_checkpoint_over(int ok, json_t *data, const char *text)
{
	struct client *c;
	int told = 0;

	for (c = clients; c; c = c->next) {
		if (!c->awaits_checkpoint)
			continue;
		c->awaits_checkpoint = 0;
		told |= !c->connection;
		if (ok && c->kills_after)
			await_end(c, data, text);
		else
			client_reply(c, ok, json_incref(data), text);
	}
	if (!told)
		console_say("%s", text);
}

/* ---- the others ---- */

void client_interval(struct connection *connection, json_t *body)
{
	int64_t seconds = wire_int(body, "seconds", -1);

	if (seconds < 0 || seconds > 1000000000) {
		connection_drop(connection, "malformed INTERVAL");
		return;
	}
	interval_set(seconds);
	if (seconds)
		answer(client_of(connection), 1, "a checkpoint every %d s\n",
		       settings.interval);
	else
		answer(client_of(connection), 1,
		       "no checkpoints by the interval\n");
	computation_changed();
}

static void kill_all(struct client *client)
{
	int processes = groups_processes();
	char text[64];
	json_t *data;

	if (is_busy(client)) {
		answer(client, 0, "one request after the other, please\n");
		return;
	}
	log_line("all processes are killed on request");
	if (processes)
		snprintf(text, sizeof(text), "killed %d process%s\n", processes,
			 processes == 1 ? "" : "es");
	else
		snprintf(text, sizeof(text), "no process is left\n");
	data = json_pack("{s:b, s:i}", "ok", 1, "processes", processes);
	await_end(client, data, text);
	json_decref(data);
	groups_send(WIRE_KILL, json_object());
}

void client_kill(struct connection *connection, json_t *body)
{
	(void)body;
	kill_all(client_of(connection));
}

void client_quit(struct connection *connection, json_t *body)
{
	(void)body;
	kill_all(client_of(connection));
	computation_quit_when_over();
}

/* ---- waiting ---- */

static void look(struct client *client)
{
	json_t *data;
	char *text;

	if (client->retry)
		client->retry(client);
	if (client->seq && groups_answered(client->seq) &&
	    !computation_awaits_groups())
		tell_processes(client);
	if (client->awaits_end && !groups_count()) {
		data = json_incref(client->last);
		text = client->last_text;
		client->last_text = NULL;
		forget_last(client);
		client->deadline = NEVER;
		client_reply(client, 1, data, text ? text : "");
		free(text);
	}
}

void clients_look_again(void)
{
	struct client *c;

	do {
		for (c = clients; c; c = c->next)
			look(c);
	} while (console_look());
}

int64_t clients_deadline(void)
{
	int64_t deadline = NEVER;
	struct client *c;

	for (c = clients; c; c = c->next)
		if (c->deadline < deadline)
			deadline = c->deadline;
	return deadline;
}

static void give_up(struct client *client)
{
	char err[1024] = "it takes too long";

	client->deadline = NEVER;
	if (client->retry == try_restore) {
		forget_request(client);
		refuse(client, 1, "this coordinator has another computation");
	} else if (client->retry) {
		checkpoint_possible(err, sizeof(err));
		forget_request(client);
		answer(client, 0, "no checkpoint: %s\n", err);
	}
	if (client->seq)
		tell_processes(client);
	if (client->awaits_end) {
		forget_last(client);
		answer(client, 0, "%d processes have not ended\n",
		       groups_processes());
	}
}

void clients_expired(int64_t now)
{
	struct client *c;

	for (c = clients; c; c = c->next)
		if (c->deadline <= now)
			give_up(c);
}

/* ---- the console ---- */

static int console_interval(const char *text)
{
	char *end;
	long seconds = strtol(text, &end, 10);

	if (end == text || *end || seconds < 0 || seconds > 1000000000)
		return -EINVAL;
	interval_set(seconds);
	console_say(seconds ? "a checkpoint every %ld s\n"
			    : "no checkpoints by the interval\n",
		    seconds);
	computation_changed();
	return 0;
}

static void console_checkpoint(int kill)
{
	json_t *body = json_pack("{s:b, s:b}", "wait", 1, "kill", kill);

	attempt(console_client(), try_checkpoint, body, POSSIBLE_MS);
	json_decref(body);
}

int console_busy(void)
{
	return is_busy(console_client());
}

int console_request(const char *line)
{
	struct client *client = console_client();

	if (!strcmp(line, "s"))
		ask_processes(client, 0);
	else if (!strcmp(line, "l"))
		ask_processes(client, 1);
	else if (!strcmp(line, "c") || !strcmp(line, "bc"))
		console_checkpoint(0);
	else if (!strcmp(line, "kc"))
		console_checkpoint(1);
	else if (!strcmp(line, "k"))
		kill_all(client);
	else if (!strncmp(line, "i", 1) && (line[1] == ' ' || line[1] == '\t'))
		return console_interval(line + 1);
	else if (!strcmp(line, "q")) {
		kill_all(client);
		computation_quit_when_over();
	} else {
		return -EINVAL;
	}
	return 0;
}
