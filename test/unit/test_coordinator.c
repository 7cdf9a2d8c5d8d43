/* SPDX-License-Identifier: MIT */
/*
 * The coordinator as a process, between agents and clients that are played
 * here: what it says to whom in which order, and what it makes of peers that
 * fail, leave, lie or babble.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/cookie.h"
#include "util/runtime.h"
#include "wire/peer.h"
#include "wire/phases.h"

#define WAIT_MS 20000

static char folder[256];
static pid_t coordinator;
static int port;

/* ---- the stage ---- */

static void path_in_folder(char *path, size_t size, const char *name)
{
	snprintf(path, size, "%s/%s", folder, name);
}

static int read_port(void)
{
	char path[300], line[32];

	path_in_folder(path, sizeof(path), "port");
	ck_assert_int_eq(util_read_line(path, line, sizeof(line)), 0);
	return atoi(line);
}

/* With these arguments besides; ready when this returns. */
static void start(const char *port_text, const char *const extra[])
{
	char program[PATH_MAX], port_file[300], dir[300], log[300], line[32];
	const char *build = getenv("CKPT_BUILD");
	char *argv[32] = {program,	 "--port",  (char *)port_text,
			  "--port-file", port_file, "--ckptdir",
			  dir,		 "--log",   log,
			  "--ready-fd",	 "9"};
	int ready[2], n = 11;

	snprintf(program, sizeof(program), "%s/ckpt_coordinator",
		 build ? build : ".");
	path_in_folder(port_file, sizeof(port_file), "port");
	path_in_folder(dir, sizeof(dir), "ckpts");
	path_in_folder(log, sizeof(log), "log");
	while (extra && *extra)
		argv[n++] = (char *)*extra++;
	ck_assert_int_eq(pipe2(ready, O_CLOEXEC), 0);
	coordinator = fork();
	if (!coordinator) {
		dup2(ready[1], 9);
		close(0);
		open("/dev/null", O_RDWR);
		execv(program, argv);
		_exit(127);
	}
	close(ready[1]);
	ck_assert_int_gt(read(ready[0], line, sizeof(line)), 0);
	close(ready[0]);
	port = read_port();
}

static void stop(int number)
{
	int status;

	kill(coordinator, number);
	ck_assert_int_eq(waitpid(coordinator, &status, 0), coordinator);
	coordinator = 0;
}

static void remove_tree(const char *path)
{
	char command[600];

	snprintf(command, sizeof(command), "rm -rf '%s'", path);
	if (system(command))
		fprintf(stderr, "cannot remove %s\n", path);
}

static void setup(void)
{
	strcpy(folder, "/tmp/ckpt-unit.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	setenv("XDG_RUNTIME_DIR", folder, 1);
	unsetenv("CKPT_COOKIE_FILE");
	unsetenv("CKPT_DIR");
	start("0", NULL);
}

static void teardown(void)
{
	if (coordinator > 0) {
		kill(coordinator, SIGKILL);
		waitpid(coordinator, NULL, 0);
	}
	remove_tree(folder);
}

/* ---- the players ---- */

static struct wire_peer *enter(enum wire_role role)
{
	unsigned char cookie[UTIL_COOKIE_BYTES];
	struct wire_peer *peer;
	char err[512];

	ck_assert_int_eq(util_cookie_read("localhost", port, cookie, err, sizeof(err)), 0);
	peer = wire_connect("127.0.0.1", port, cookie, role, WAIT_MS, err,
			    sizeof(err));
	ck_assert_msg(peer != NULL, "%s", err);
	return peer;
}

static void say(struct wire_peer *peer, enum wire_type type, json_t *body)
{
	ck_assert_int_eq(wire_send(peer, type, body), 0);
}

/* The next message, which must be this one. STATE comes at any time, PROGRESS
 * as well; QUERY is answered as an agent does. */
static json_t *expect(struct wire_peer *peer, enum wire_type wanted)
{
	enum wire_type type;
	json_t *body;
	int ret;

	for (;;) {
		ret = wire_receive(peer, &type, &body, WAIT_MS);
		ck_assert_msg(ret == 0, "no %s: %s (%s)", wire_name(wanted),
			      strerror(-ret), wire_error(peer));
		if (type == wanted)
			return body;
		if (type == WIRE_QUERY)
			say(peer, WIRE_PROCESSES,
			    json_pack("{s:I, s:[{s:i,s:s}]}", "seq",
				      (json_int_t)wire_int(body, "seq", 0),
				      "processes", "pid", 42, "program",
				      "prog"));
		else
			ck_assert_msg(type == WIRE_STATE ||
					      type == WIRE_PROGRESS,
				      "%s instead of %s", wire_name(type),
				      wire_name(wanted));
		json_decref(body);
	}
}

static void expect_and_drop(struct wire_peer *peer, enum wire_type wanted)
{
	json_decref(expect(peer, wanted));
}

static void expect_closed(struct wire_peer *peer)
{
	enum wire_type type;
	json_t *body;
	int ret;

	while ((ret = wire_receive(peer, &type, &body, WAIT_MS)) == 0)
		json_decref(body);
	ck_assert_int_eq(ret, -ECONNRESET);
	wire_close(peer);
}

static void join(char id[32])
{
	struct wire_peer *launch = enter(ROLE_LAUNCH);
	json_t *body;

	say(launch, WIRE_JOIN,
	    json_pack("{s:s, s:s, s:s, s:{}}", "program", "/bin/a prog", "dir",
		      "/nonexistent", "role", "launch", "options"));
	body = expect(launch, WIRE_JOINED);
	snprintf(id, 32, "%s", wire_string(body, "computation", ""));
	ck_assert_uint_eq(strlen(id), 16);
	json_decref(body);
	wire_close(launch);
}

static struct wire_peer *agent_with(const char *id, int group, json_t *more)
{
	struct wire_peer *agent = enter(ROLE_AGENT);
	json_t *body = json_pack(
		"{s:s, s:i, s:i, s:s, s:b, s:i, s:i, s:i, s:s}", "host",
		"elsewhere", "group", group, "pid", (int)getpid(),
		"runtime_dir", "/nonexistent/x", "capsule", 0, "uid", 0,
		"expect", 0, "processes", 1, "computation", id);

	json_object_update(body, more);
	json_decref(more);
	say(agent, WIRE_REGISTER, body);
	return agent;
}

static struct wire_peer *agent_of(const char *id, int group)
{
	struct wire_peer *agent = agent_with(id, group, json_object());

	expect_and_drop(agent, WIRE_STATE);
	return agent;
}

static int ask(struct wire_peer *client, struct wire_peer *agent,
	       enum wire_type type, json_t *body, json_t **data, char *text,
	       size_t size)
{
	json_t *reply;
	int ok;

	say(client, type, body);
	if (agent) {
		enum wire_type got;
		json_t *query;

		do {
			ck_assert_int_eq(
				wire_receive(agent, &got, &query, WAIT_MS), 0);
			if (got == WIRE_QUERY)
				say(agent, WIRE_PROCESSES,
				    json_pack("{s:I, s:[{s:i}]}", "seq",
					      (json_int_t)wire_int(query, "seq",
								   0),
					      "processes", "pid", 42));
			json_decref(query);
		} while (got != WIRE_QUERY);
	}
	reply = expect(client, WIRE_REPLY);
	ok = wire_bool(reply, "ok", 0);
	if (data)
		*data = json_incref(json_object_get(reply, "data"));
	if (text)
		snprintf(text, size, "%s", wire_string(reply, "text", ""));
	json_decref(reply);
	return ok;
}

static json_t *status(struct wire_peer *agent)
{
	struct wire_peer *client = enter(ROLE_COMMAND);
	json_t *data;

	/* Answers to earlier queries may still be on their way. */
	ck_assert(
		ask(client, agent, WIRE_STATUS, json_object(), &data, NULL, 0));
	wire_close(client);
	return data;
}

/* ---- a checkpoint, played ---- */

static struct wire_peer *request_checkpoint(json_t *body)
{
	struct wire_peer *client = enter(ROLE_COMMAND);

	say(client, WIRE_CHECKPOINT, body);
	return client;
}

static void done(struct wire_peer *agent, int request, enum wire_phase phase,
		 json_t *figures)
{
	json_object_set_new(figures, "request", json_integer(request));
	json_object_set_new(figures, "phase", json_string(phase_name(phase)));
	say(agent, WIRE_DONE, figures);
}

static int begin(struct wire_peer *agent, char *path, size_t size)
{
	json_t *body = expect(agent, WIRE_PREPARE);
	int request = wire_int(body, "request", 0);

	ck_assert_int_gt(request, 0);
	snprintf(path, size, "%s", wire_string(body, "generation_dir", ""));
	json_decref(body);
	return request;
}

static void written(struct wire_peer *agent, int request)
{
	done(agent, request, PHASE_WRITE,
	     json_pack(
		     "{s:i, s:i, s:[{s:s, s:i, s:s}], s:[{s:s}], s:[s], s:{s:s}}",
		     "raw", 1000, "stored", 400, "images", "file",
		     "proc-42.img", "pid", 42, "header_hash",
		     "00000000000000ff", "files", "hash", "ab", "warnings",
		     "a warning", "facts", "kernel", "6.1"));
}

static void commit(struct wire_peer *agent, int request, const char *path)
{
	char file[PATH_MAX];
	json_t *body = expect(agent, WIRE_COMMIT);
	json_t *manifest = json_object_get(body, "manifest");

	ck_assert(json_is_object(manifest));
	snprintf(file, sizeof(file), "%s/manifest.json", path);
	ck_assert_int_eq(json_dump_file(manifest, file, 0), 0);
	done(agent, request, PHASE_COMMIT, json_object());
	json_decref(body);
}

/* Up to (and without) this phase. */
static int play(struct wire_peer *agent, enum wire_phase until, char *path,
		size_t size)
{
	static const enum wire_type says[] = {
		[PHASE_STOP] = WIRE_STOP,
		[PHASE_CAPTURE] = WIRE_CAPTURE,
		[PHASE_SNAPSHOT] = WIRE_SNAPSHOT,
		[PHASE_RELEASE] = WIRE_RELEASE,
	};
	int request = begin(agent, path, size);

	if (until == PHASE_PREPARE)
		return request;
	done(agent, request, PHASE_PREPARE,
	     json_pack("{s:i, s:i}", "processes", 1, "bytes", 1000));
	for (enum wire_phase p = PHASE_STOP; p <= PHASE_RELEASE; p++) {
		expect_and_drop(agent, says[p]);
		if (until == p)
			return request;
		done(agent, request, p,
		     json_pack("{s:i, s:I, s:i}", "processes", 1, "stopped_ns",
			       (json_int_t)2500000, "bytes", 1000));
	}
	if (until == PHASE_WRITE)
		return request;
	written(agent, request);
	return request;
}

static int checkpoint_once(struct wire_peer *agent, char *path, size_t size)
{
	struct wire_peer *client = request_checkpoint(json_object());
	int request = play(agent, PHASE_COMMIT, path, size);
	json_t *reply;
	int ok;

	commit(agent, request, path);
	reply = expect(client, WIRE_REPLY);
	ok = wire_bool(reply, "ok", 0);
	json_decref(reply);
	wire_close(client);
	return ok;
}

static int exists(const char *path)
{
	return access(path, F_OK) == 0;
}

/* ---- tests ---- */

START_TEST(nothing_runs)
{
	struct wire_peer *client = enter(ROLE_COMMAND);
	json_t *data = status(NULL);
	char text[1024];

	ck_assert_int_eq(wire_int(data, "schema", 0), 1);
	ck_assert_int_eq(wire_bool(data, "running", 1), 0);
	ck_assert_str_eq(wire_string(data, "phase", ""), "idle");
	ck_assert_int_eq(wire_int(data, "processes", -1), 0);
	ck_assert_int_eq(wire_int(data, "host_groups", -1), 0);
	ck_assert_int_eq(wire_int(data, "generation", -1), 0);
	ck_assert_int_eq(wire_int(data, "interval", -1), 0);
	ck_assert_ptr_nonnull(
		strstr(wire_string(data, "ckptdir", ""), "/ckpts"));
	json_decref(data);
	ck_assert(!ask(client, NULL, WIRE_CHECKPOINT, json_object(), NULL, text,
		       sizeof(text)));
	ck_assert_ptr_nonnull(strstr(text, "no program is running"));
	ck_assert(ask(client, NULL, WIRE_KILL, json_object(), NULL, NULL, 0));
	ck_assert(ask(client, NULL, WIRE_INTERVAL,
		      json_pack("{s:i}", "seconds", 7), NULL, NULL, 0));
	wire_close(client);
	data = status(NULL);
	ck_assert_int_eq(wire_int(data, "interval", -1), 7);
	json_decref(data);
}
END_TEST

START_TEST(a_checkpoint)
{
	char id[32], path[PATH_MAX], file[PATH_MAX + 32];
	struct wire_peer *agent, *client;
	json_t *reply, *data, *manifest;
	struct stat st;
	int request;

	join(id);
	agent = agent_of(id, 1);
	client = request_checkpoint(json_object());
	request = play(agent, PHASE_COMMIT, path, sizeof(path));
	/* the folder: ours alone, named after program, id and generation */
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(st.st_mode & 07777, 0700);
	ck_assert_ptr_nonnull(strstr(path, "/ckpts/ckpt-a_prog-"));
	ck_assert_ptr_nonnull(strstr(path, id));
	ck_assert_ptr_nonnull(strstr(path, "/gen-000001"));
	commit(agent, request, path);
	reply = expect(client, WIRE_REPLY);
	ck_assert(wire_bool(reply, "ok", 0));
	data = json_object_get(reply, "data");
	ck_assert_int_eq(wire_int(data, "generation", 0), 1);
	ck_assert_int_eq(wire_int(data, "processes", 0), 1);
	ck_assert_int_eq(wire_int(data, "bytes", 0), 1000);
	ck_assert_int_eq(wire_int(data, "stored", 0), 400);
	ck_assert_str_eq(wire_string(data, "directory", ""), path);
	ck_assert_ptr_nonnull(
		strstr(wire_string(reply, "text", ""), "note: a warning"));
	json_decref(reply);
	wire_close(client);

	snprintf(file, sizeof(file), "%s/manifest.json", path);
	manifest = json_load_file(file, 0, NULL);
	ck_assert_int_eq(wire_int(manifest, "schema", 0), 1);
	ck_assert_str_eq(wire_string(manifest, "computation", ""), id);
	ck_assert_str_eq(wire_string(manifest, "name", ""), "a_prog");
	ck_assert_int_eq(wire_int(manifest, "generation", 0), 1);
	ck_assert_uint_eq(json_array_size(json_object_get(manifest, "images")),
			  1);
	ck_assert_uint_eq(json_array_size(json_object_get(manifest, "groups")),
			  1);
	json_decref(manifest);

	/* the next one */
	ck_assert(checkpoint_once(agent, path, sizeof(path)));
	ck_assert_ptr_nonnull(strstr(path, "/gen-000002"));
	data = status(agent);
	ck_assert_int_eq(wire_int(data, "generation", 0), 2);
	ck_assert_int_eq(wire_bool(data, "running", 0), 1);
	json_decref(data);
	wire_close(agent);
}
END_TEST

START_TEST(a_phase_fails)
{
	enum wire_phase phase = (enum wire_phase)_i;
	char id[32], path[PATH_MAX], text[512];
	struct wire_peer *agent, *client;
	json_t *reply, *body;
	int request;

	join(id);
	agent = agent_of(id, 1);
	client = request_checkpoint(json_object());
	request = play(agent, phase, path, sizeof(path));
	if (phase == PHASE_COMMIT)
		expect_and_drop(agent, WIRE_COMMIT);
	ck_assert(exists(path));
	say(agent, WIRE_FAILED,
	    json_pack("{s:i, s:s, s:i, s:s, s:i, s:s}", "request", request,
		      "phase", phase_name(phase), "pid", 42, "program", "prog",
		      "error", ENOSPC, "text", "the disk is full"));
	body = expect(agent, WIRE_ABORT);
	ck_assert_int_eq(wire_int(body, "request", 0), request);
	ck_assert_ptr_nonnull(strstr(wire_string(body, "reason", ""), "full"));
	json_decref(body);
	say(agent, WIRE_DONE,
	    json_pack("{s:i, s:s}", "request", request, "phase", "abort"));
	reply = expect(client, WIRE_REPLY);
	ck_assert(!wire_bool(reply, "ok", 1));
	snprintf(text, sizeof(text), "%s", wire_string(reply, "text", ""));
	ck_assert_ptr_nonnull(strstr(text, "the disk is full"));
	ck_assert_ptr_nonnull(strstr(text, phase_name(phase)));
	ck_assert_ptr_nonnull(strstr(text, "42"));
	json_decref(reply);
	wire_close(client);
	ck_assert(!exists(path));
	/* and all is as before */
	ck_assert(checkpoint_once(agent, path, sizeof(path)));
	wire_close(agent);
}
END_TEST

START_TEST(the_agent_dies)
{
	enum wire_phase phase = (enum wire_phase)_i;
	char id[32], path[PATH_MAX];
	struct wire_peer *agent, *client;
	json_t *reply;

	join(id);
	agent = agent_of(id, 1);
	client = request_checkpoint(json_object());
	play(agent, phase, path, sizeof(path));
	if (phase == PHASE_COMMIT)
		expect_and_drop(agent, WIRE_COMMIT);
	wire_close(agent);
	reply = expect(client, WIRE_REPLY);
	ck_assert(!wire_bool(reply, "ok", 1));
	ck_assert_ptr_nonnull(strstr(wire_string(reply, "text", ""), "lost"));
	json_decref(reply);
	wire_close(client);
	ck_assert(!exists(path));
	/* A new one goes on. */
	agent = agent_of(id, 1);
	ck_assert(checkpoint_once(agent, path, sizeof(path)));
	wire_close(agent);
}
END_TEST

/* It had renamed the manifest when it died: the checkpoint counts. */
START_TEST(the_agent_dies_after_the_commit)
{
	char id[32], path[PATH_MAX], file[PATH_MAX + 32];
	struct wire_peer *agent, *client;
	json_t *reply, *body;

	join(id);
	agent = agent_of(id, 1);
	client = request_checkpoint(json_object());
	play(agent, PHASE_COMMIT, path, sizeof(path));
	body = expect(agent, WIRE_COMMIT);
	snprintf(file, sizeof(file), "%s/manifest.json", path);
	json_dump_file(json_object_get(body, "manifest"), file, 0);
	json_decref(body);
	wire_close(agent);
	reply = expect(client, WIRE_REPLY);
	ck_assert(wire_bool(reply, "ok", 0));
	json_decref(reply);
	wire_close(client);
	ck_assert(exists(file));
}
END_TEST

START_TEST(barriers_of_two_groups)
{
	char id[32], path[PATH_MAX], other[PATH_MAX];
	struct wire_peer *a, *b, *client;
	enum wire_type type;
	json_t *body, *reply;
	int request;

	join(id);
	a = agent_of(id, 1);
	b = agent_of(id, 2);
	client = request_checkpoint(json_object());
	request = begin(a, path, sizeof(path));
	ck_assert_int_eq(begin(b, other, sizeof(other)), request);
	ck_assert_str_eq(path, other);
	done(a, request, PHASE_PREPARE, json_pack("{s:i}", "processes", 1));
	/* Nobody is stopped before all are prepared. */
	ck_assert_int_eq(wire_receive(a, &type, &body, 200), -ETIMEDOUT);
	done(b, request, PHASE_PREPARE, json_pack("{s:i}", "processes", 1));
	expect_and_drop(a, WIRE_STOP);
	expect_and_drop(b, WIRE_STOP);
	done(a, request, PHASE_STOP, json_pack("{s:i}", "processes", 1));
	done(b, request, PHASE_STOP, json_pack("{s:i}", "processes", 2));
	expect_and_drop(a, WIRE_CAPTURE);
	expect_and_drop(b, WIRE_CAPTURE);
	done(a, request, PHASE_CAPTURE, json_object());
	done(b, request, PHASE_CAPTURE, json_object());
	expect_and_drop(a, WIRE_SNAPSHOT);
	expect_and_drop(b, WIRE_SNAPSHOT);
	done(a, request, PHASE_SNAPSHOT, json_object());
	ck_assert_int_eq(wire_receive(a, &type, &body, 200), -ETIMEDOUT);
	done(b, request, PHASE_SNAPSHOT, json_object());
	expect_and_drop(a, WIRE_RELEASE);
	expect_and_drop(b, WIRE_RELEASE);
	/* One has written before the other has even released. */
	done(a, request, PHASE_RELEASE, json_object());
	written(a, request);
	done(b, request, PHASE_RELEASE, json_object());
	written(b, request);
	/* The manifest is one group's; the other waits for it. */
	ck_assert_int_eq(wire_receive(b, &type, &body, 200) == 0 ||
				 wire_receive(a, &type, &body, 200) == 0,
			 1);
	ck_assert_int_eq(type, WIRE_COMMIT);
	ck_assert(json_is_object(json_object_get(body, "manifest")));
	ck_assert_uint_eq(json_array_size(json_object_get(
				  json_object_get(body, "manifest"), "images")),
			  2);
	json_decref(body);
	/* groups are kept newest first: b leads, or a; the other comes next */
	done(a, request, PHASE_COMMIT, json_object());
	done(b, request, PHASE_COMMIT, json_object());
	reply = expect(client, WIRE_REPLY);
	ck_assert(wire_bool(reply, "ok", 0));
	ck_assert_int_eq(
		wire_int(json_object_get(reply, "data"), "processes", 0), 3);
	json_decref(reply);
	wire_close(client);
	wire_close(a);
	wire_close(b);
}
END_TEST

START_TEST(one_of_two_groups_fails)
{
	char id[32], path[PATH_MAX], other[PATH_MAX];
	struct wire_peer *a, *b, *client;
	json_t *reply;
	int request;

	join(id);
	a = agent_of(id, 1);
	b = agent_of(id, 2);
	client = request_checkpoint(json_object());
	request = begin(a, path, sizeof(path));
	begin(b, other, sizeof(other));
	done(a, request, PHASE_PREPARE, json_pack("{s:i}", "processes", 1));
	say(b, WIRE_FAILED,
	    json_pack("{s:i, s:s, s:s}", "request", request, "phase", "prepare",
		      "text", "no room"));
	expect_and_drop(a, WIRE_ABORT);
	expect_and_drop(b, WIRE_ABORT);
	say(a, WIRE_DONE,
	    json_pack("{s:i, s:s}", "request", request, "phase", "abort"));
	say(b, WIRE_DONE,
	    json_pack("{s:i, s:s}", "request", request, "phase", "abort"));
	reply = expect(client, WIRE_REPLY);
	ck_assert(!wire_bool(reply, "ok", 1));
	ck_assert_ptr_nonnull(
		strstr(wire_string(reply, "text", ""), "no room"));
	json_decref(reply);
	wire_close(client);
	wire_close(a);
	wire_close(b);
}
END_TEST

START_TEST(hold_and_kill)
{
	char id[32], path[PATH_MAX];
	struct wire_peer *agent, *client;
	json_t *body, *reply;
	int request;

	join(id);
	agent = agent_of(id, 1);
	client = request_checkpoint(json_pack("{s:b}", "kill", 1));
	body = expect(agent, WIRE_PREPARE);
	ck_assert(wire_bool(body, "hold", 0));
	request = wire_int(body, "request", 0);
	snprintf(path, sizeof(path), "%s",
		 wire_string(body, "generation_dir", ""));
	json_decref(body);
	done(agent, request, PHASE_PREPARE, json_pack("{s:i}", "processes", 1));
	expect_and_drop(agent, WIRE_STOP);
	done(agent, request, PHASE_STOP, json_pack("{s:i}", "processes", 1));
	expect_and_drop(agent, WIRE_CAPTURE);
	done(agent, request, PHASE_CAPTURE, json_object());
	expect_and_drop(agent, WIRE_SNAPSHOT);
	done(agent, request, PHASE_SNAPSHOT, json_object());
	expect_and_drop(agent, WIRE_RELEASE);
	/* Nothing is released: WRITE is all it has to say. */
	written(agent, request);
	commit(agent, request, path);
	say(agent, WIRE_LEAVING, json_object());
	reply = expect(client, WIRE_REPLY);
	ck_assert(wire_bool(reply, "ok", 0));
	json_decref(reply);
	wire_close(client);
	wire_close(agent);
}
END_TEST

START_TEST(an_agent_that_says_nothing)
{
	static const char *const quick[] = {"--write-timeout", "1", NULL};
	char id[32], path[PATH_MAX];
	struct wire_peer *agent, *client;
	json_t *reply;
	int request;

	stop(SIGTERM);
	start("0", quick);
	join(id);
	agent = agent_of(id, 1);
	client = request_checkpoint(json_object());
	request = play(agent, PHASE_WRITE, path, sizeof(path));
	/* Progress buys time, silence does not. */
	say(agent, WIRE_PROGRESS,
	    json_pack("{s:i, s:i}", "request", request, "raw", 100));
	expect_and_drop(agent, WIRE_ABORT);
	say(agent, WIRE_DONE,
	    json_pack("{s:i, s:s}", "request", request, "phase", "abort"));
	reply = expect(client, WIRE_REPLY);
	ck_assert(!wire_bool(reply, "ok", 1));
	ck_assert_ptr_nonnull(
		strstr(wire_string(reply, "text", ""), "has not answered"));
	json_decref(reply);
	wire_close(client);
	wire_close(agent);
}
END_TEST

START_TEST(a_fault_is_passed_on)
{
	char id[32];
	struct wire_peer *agent, *client;
	json_t *body, *fault;
	char text[512];

	join(id);
	agent = agent_of(id, 1);
	client = enter(ROLE_COMMAND);
	ck_assert(!ask(client, NULL, WIRE_CHECKPOINT,
		       json_pack("{s:s}", "fault", "nonsense:ENOSPC"), NULL,
		       text, sizeof(text)));
	ck_assert_ptr_nonnull(strstr(text, "CKPT_FAULT"));
	say(client, WIRE_CHECKPOINT,
	    json_pack("{s:s}", "fault", "snapshot:EIO"));
	body = expect(agent, WIRE_PREPARE);
	fault = json_object_get(body, "fault");
	ck_assert_str_eq(wire_string(fault, "phase", ""), "snapshot");
	ck_assert_int_eq(wire_int(fault, "error", 0), EIO);
	json_decref(body);
	wire_close(client);
	wire_close(agent);
}
END_TEST

START_TEST(killed_and_started_again)
{
	char id[32], path[PATH_MAX], again[16];
	struct wire_peer *agent;
	json_t *state, *data;

	join(id);
	agent = agent_with(id, 1, json_object());
	ck_assert(checkpoint_once(agent, path, sizeof(path)));
	do {
		state = expect(agent, WIRE_STATE);
		if (wire_int(state, "generation", 0) == 1)
			break;
		json_decref(state);
	} while (1);
	stop(SIGKILL);
	wire_close(agent);
	snprintf(again, sizeof(again), "%d", port);
	start(again, NULL);
	agent = agent_with(id, 1, json_pack("{s:o}", "state", state));
	data = status(agent);
	ck_assert_str_eq(wire_string(data, "computation", ""), id);
	ck_assert_str_eq(wire_string(data, "name", ""), "a_prog");
	ck_assert_int_eq(wire_int(data, "generation", 0), 1);
	json_decref(data);
	ck_assert(checkpoint_once(agent, path, sizeof(path)));
	ck_assert_ptr_nonnull(strstr(path, "/gen-000002"));
	wire_close(agent);
}
END_TEST

/* Killed in the middle: what it left without a manifest goes at the next. */
START_TEST(leftovers_are_removed)
{
	char id[32], path[PATH_MAX + 16], again[16], stale[PATH_MAX];
	struct wire_peer *agent, *client;
	json_t *state;

	join(id);
	agent = agent_with(id, 1, json_object());
	state = expect(agent, WIRE_STATE);
	client = request_checkpoint(json_object());
	play(agent, PHASE_WRITE, stale, sizeof(stale));
	stop(SIGKILL);
	wire_close(agent);
	wire_close(client);
	ck_assert(exists(stale));
	snprintf(path, sizeof(path), "%s/half.img", stale);
	close(open(path, O_CREAT | O_WRONLY, 0600));
	snprintf(again, sizeof(again), "%d", port);
	start(again, NULL);
	agent = agent_with(id, 1, json_pack("{s:o}", "state", state));
	ck_assert(checkpoint_once(agent, path, sizeof(path)));
	ck_assert_str_eq(path, stale);
	snprintf(path, sizeof(path), "%s/half.img", stale);
	ck_assert(!exists(path));
	wire_close(agent);
}
END_TEST

START_TEST(ended_in_the_middle)
{
	char id[32], path[PATH_MAX];
	struct wire_peer *agent, *client;
	json_t *reply;

	join(id);
	agent = agent_of(id, 1);
	client = request_checkpoint(json_object());
	play(agent, PHASE_CAPTURE, path, sizeof(path));
	stop(SIGTERM);
	expect_and_drop(agent, WIRE_ABORT);
	reply = expect(client, WIRE_REPLY);
	ck_assert(!wire_bool(reply, "ok", 1));
	json_decref(reply);
	ck_assert(!exists(path));
	wire_close(agent);
	wire_close(client);
}
END_TEST

static json_t *restore_body(const char *id, int groups)
{
	char dir[300];

	path_in_folder(dir, sizeof(dir), "ckpts");
	return json_pack("{s:s, s:s, s:s, s:i, s:i}", "computation", id, "name",
			 "prog", "dir", dir, "generation", 5, "groups", groups);
}

START_TEST(a_restart)
{
	static const char id[] = "0123456789abcdef";
	struct wire_peer *restart = enter(ROLE_RESTART), *a, *b, *other;
	enum wire_type type;
	json_t *body, *data;

	say(restart, WIRE_RESTORE, restore_body(id, 2));
	body = expect(restart, WIRE_JOINED);
	ck_assert_str_eq(wire_string(body, "computation", ""), id);
	json_decref(body);
	a = agent_with(id, 7,
		       json_pack("{s:i, s:b, s:i}", "expect", 1, "capsule", 1,
				 "processes", 0));
	b = agent_with(id, 8,
		       json_pack("{s:i, s:b, s:i}", "expect", 1, "capsule", 1,
				 "processes", 0));
	say(a, WIRE_RESTARTED, json_pack("{s:i}", "processes", 1));
	/* not before all are back */
	do {
		type = WIRE_NONE;
		if (wire_receive(a, &type, &body, 200) == 0)
			json_decref(body);
		ck_assert_int_ne(type, WIRE_RESUME);
	} while (type != WIRE_NONE);
	say(b, WIRE_RESTARTED, json_pack("{s:i}", "processes", 1));
	expect_and_drop(a, WIRE_RESUME);
	expect_and_drop(b, WIRE_RESUME);
	body = expect(restart, WIRE_REPLY);
	ck_assert(wire_bool(body, "ok", 0));
	json_decref(body);
	wire_close(restart);
	/* Another one has no place here. */
	other = enter(ROLE_RESTART);
	say(other, WIRE_RESTORE, restore_body("fedcba9876543210", 1));
	body = expect(other, WIRE_REFUSED);
	ck_assert(wire_bool(body, "busy", 0));
	json_decref(body);
	wire_close(other);
	say(a, WIRE_LEAVING, json_object());
	data = status(b);
	ck_assert_int_eq(wire_int(data, "generation", 0), 5);
	ck_assert_int_eq(wire_int(data, "host_groups", 0), 1);
	json_decref(data);
	wire_close(a);
	wire_close(b);
}
END_TEST

START_TEST(a_restart_gives_up)
{
	static const char id[] = "0123456789abcdef";
	struct wire_peer *restart = enter(ROLE_RESTART);
	json_t *data;

	say(restart, WIRE_RESTORE, restore_body(id, 1));
	expect_and_drop(restart, WIRE_JOINED);
	wire_close(restart);
	/* So the next may try at once. */
	restart = enter(ROLE_RESTART);
	say(restart, WIRE_RESTORE, restore_body(id, 1));
	expect_and_drop(restart, WIRE_JOINED);
	wire_close(restart);
	data = status(NULL);
	ck_assert_str_eq(wire_string(data, "computation", "x"), "");
	json_decref(data);
}
END_TEST

START_TEST(another_computation)
{
	char id[32], second[32];
	struct wire_peer *agent, *stranger;

	join(id);
	agent = agent_of(id, 1);
	stranger = agent_with("fedcba9876543210", 2, json_object());
	expect_closed(stranger);
	say(agent, WIRE_LEAVING, json_object());
	expect_closed(agent);
	/* It was the last: what begins now is another one. */
	join(second);
	ck_assert_str_ne(id, second);
}
END_TEST

START_TEST(kill_waits_for_the_end)
{
	char id[32];
	struct wire_peer *agent, *client;
	json_t *reply;

	join(id);
	agent = agent_of(id, 1);
	client = enter(ROLE_COMMAND);
	say(client, WIRE_KILL, json_object());
	expect_and_drop(agent, WIRE_KILL);
	say(agent, WIRE_LEAVING, json_object());
	reply = expect(client, WIRE_REPLY);
	ck_assert(wire_bool(reply, "ok", 0));
	json_decref(reply);
	wire_close(client);
	wire_close(agent);
}
END_TEST

START_TEST(exit_on_last)
{
	static const char *const last[] = {"--exit-on-last", NULL};
	char id[32];
	struct wire_peer *agent;
	int result;

	stop(SIGTERM);
	start("0", last);
	join(id);
	agent = agent_of(id, 1);
	say(agent, WIRE_LEAVING, json_object());
	ck_assert_int_eq(waitpid(coordinator, &result, 0), coordinator);
	coordinator = 0;
	ck_assert(WIFEXITED(result) && WEXITSTATUS(result) == 0);
	wire_close(agent);
}
END_TEST

START_TEST(quit)
{
	struct wire_peer *client = enter(ROLE_COMMAND);
	int result;

	ck_assert(ask(client, NULL, WIRE_QUIT, json_object(), NULL, NULL, 0));
	ck_assert_int_eq(waitpid(coordinator, &result, 0), coordinator);
	coordinator = 0;
	ck_assert(WIFEXITED(result) && WEXITSTATUS(result) == 0);
	wire_close(client);
}
END_TEST

START_TEST(everybody_in_his_place)
{
	struct wire_peer *peer;

	peer = enter(ROLE_COMMAND); /* agents' words */
	say(peer, WIRE_DONE, json_object());
	expect_closed(peer);
	peer = enter(ROLE_COMMAND); /* launch's word */
	say(peer, WIRE_JOIN, json_object());
	expect_closed(peer);
	peer = enter(ROLE_COMMAND); /* our own */
	say(peer, WIRE_PREPARE, json_object());
	expect_closed(peer);
	peer = enter(ROLE_AGENT); /* not introduced */
	say(peer, WIRE_PROGRESS, json_object());
	expect_closed(peer);
	peer = enter(ROLE_AGENT);
	say(peer, WIRE_REGISTER, json_object());
	expect_closed(peer);
	peer = enter(ROLE_LAUNCH);
	say(peer, WIRE_JOIN, json_pack("{s:s}", "dir", "relative"));
	expect_closed(peer);
	peer = enter(ROLE_RESTART);
	say(peer, WIRE_RESTORE,
	    json_pack("{s:s, s:s}", "dir", "/x", "computation", "../../etc"));
	expect_closed(peer);
	json_decref(status(NULL));
}
END_TEST

static int raw(void)
{
	struct sockaddr_in to = {.sin_family = AF_INET,
				 .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

/* Bytes of a fixed sequence, so that a failure can be had again. */
static unsigned int chance(void)
{
	static unsigned int state = 12345;

	state = state * 1103515245u + 12345u;
	return state >> 8;
}

START_TEST(garbage)
{
	unsigned char bytes[2048];

	for (int i = 0; i < 300; i++) {
		size_t length = chance() % sizeof(bytes);
		int fd = raw();

		for (size_t j = 0; j < length; j++)
			bytes[j] = chance();
		if (i % 3) { /* a header that could be true */
			struct wire_header header = {
				WIRE_MAGIC,
				WIRE_VERSION,
				chance() % (WIRE_TYPE_COUNT + 2),
				chance() % 600,
			};

			memcpy(bytes, &header, sizeof(header));
			length += sizeof(header);
			if (length > sizeof(bytes))
				length = sizeof(bytes);
		}
		if (send(fd, bytes, length, MSG_NOSIGNAL) < 0)
			ck_assert(errno == EPIPE || errno == ECONNRESET);
		close(fd);
	}
	json_decref(status(NULL));
}
END_TEST

static json_t *any_value(int depth)
{
	json_t *value;

	switch (chance() % (depth ? 8 : 6)) {
	case 0:
		return json_integer((json_int_t)chance() * chance() *
				    (chance() % 2 ? 1 : -1));
	case 1:
		return json_string("gen-000001");
	case 2:
		return json_null();
	case 3:
		return json_boolean(chance() % 2);
	case 4:
		return json_string("/");
	case 5:
		return json_real(chance() / 3.0);
	case 6:
		value = json_array();
		for (unsigned int i = chance() % 4; i; i--)
			json_array_append_new(value, any_value(depth - 1));
		return value;
	default:
		value = json_object();
		json_object_set_new(value, "pid", any_value(depth - 1));
		json_object_set_new(value, "dir", any_value(depth - 1));
		return value;
	}
}

/* Who knows the cookie may still be wrong in every field. */
START_TEST(authenticated_garbage)
{
	static const char *const keys[] = {
		"request",    "phase",	   "host",	  "group",
		"pid",	      "dir",	   "state",	  "expect",
		"images",     "files",	   "warnings",	  "seq",
		"options",    "raw",	   "total",	  "seconds",
		"kill",	      "fault",	   "groups",	  "name",
		"generation", "processes", "runtime_dir", "computation",
		"program",    "text",	   "error",	  "facts",
		"list",
	};
	static const enum wire_role roles[] = {ROLE_AGENT, ROLE_LAUNCH,
					       ROLE_RESTART, ROLE_COMMAND};

	for (int i = 0; i < 400; i++) {
		struct wire_peer *peer = enter(roles[chance() % 4]);

		for (int n = 0; n < 6; n++) {
			json_t *body = json_object();
			enum wire_type type =
				1 + chance() % (WIRE_TYPE_COUNT - 1);

			if (type == WIRE_QUIT || type == WIRE_KILL)
				type = WIRE_STATUS;
			for (unsigned int k = chance() % 10; k; k--)
				json_object_set_new(
					body,
					keys[chance() %
					     (sizeof(keys) / sizeof(keys[0]))],
					any_value(2));
			if (wire_send(peer, type, body) < 0)
				break;
		}
		wire_close(peer);
	}
	ck_assert_int_eq(kill(coordinator, 0), 0);
	ck_assert_int_eq(waitpid(coordinator, NULL, WNOHANG), 0);
	json_decref(expect(({
				   struct wire_peer *client =
					   enter(ROLE_COMMAND);
				   say(client, WIRE_LIST, json_object());
				   client;
			   }),
			   WIRE_REPLY));
}
END_TEST

/* An agent that answers nonsense in the middle of a checkpoint. */
START_TEST(nonsense_from_a_registered_agent)
{
	char id[32], path[PATH_MAX];
	struct wire_peer *agent, *client;
	json_t *reply;
	int request;

	join(id);
	agent = agent_of(id, 1);
	client = request_checkpoint(json_object());
	request = begin(agent, path, sizeof(path));
	done(agent, request, PHASE_PREPARE, json_pack("{s:i}", "processes", 1));
	expect_and_drop(agent, WIRE_STOP);
	done(agent, request, PHASE_WRITE,
	     json_pack("{s:s, s:[i]}", "images", "no array", "files", 1));
	expect_closed(agent);
	reply = expect(client, WIRE_REPLY);
	ck_assert(!wire_bool(reply, "ok", 1));
	json_decref(reply);
	wire_close(client);
}
END_TEST

START_TEST(the_silent_do_not_matter)
{
	int fds[200];

	for (size_t i = 0; i < 200; i++)
		fds[i] = raw();
	/* Beyond 64 strangers new ones are turned away, until these go. */
	for (size_t i = 0; i < 200; i++)
		close(fds[i]);
	json_decref(status(NULL));
}
END_TEST

/* A client that never reads keeps nobody waiting. */
START_TEST(who_does_not_read)
{
	struct wire_peer *lazy = enter(ROLE_COMMAND);

	for (int i = 0; i < 20000; i++)
		if (wire_send(lazy, WIRE_INTERVAL,
			      json_pack("{s:i}", "seconds", 5)) < 0)
			break;
	json_decref(status(NULL));
	wire_close(lazy);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("coordinator");
	TCase *tc = tcase_create("coordinator");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, nothing_runs);
	tcase_add_test(tc, a_checkpoint);
	tcase_add_loop_test(tc, a_phase_fails, PHASE_PREPARE, PHASE_COUNT);
	tcase_add_loop_test(tc, the_agent_dies, PHASE_PREPARE, PHASE_COUNT);
	tcase_add_test(tc, the_agent_dies_after_the_commit);
	tcase_add_test(tc, barriers_of_two_groups);
	tcase_add_test(tc, one_of_two_groups_fails);
	tcase_add_test(tc, hold_and_kill);
	tcase_add_test(tc, an_agent_that_says_nothing);
	tcase_add_test(tc, a_fault_is_passed_on);
	tcase_add_test(tc, killed_and_started_again);
	tcase_add_test(tc, leftovers_are_removed);
	tcase_add_test(tc, ended_in_the_middle);
	tcase_add_test(tc, a_restart);
	tcase_add_test(tc, a_restart_gives_up);
	tcase_add_test(tc, another_computation);
	tcase_add_test(tc, kill_waits_for_the_end);
	tcase_add_test(tc, exit_on_last);
	tcase_add_test(tc, quit);
	tcase_add_test(tc, everybody_in_his_place);
	tcase_add_test(tc, garbage);
	tcase_add_test(tc, authenticated_garbage);
	tcase_add_test(tc, nonsense_from_a_registered_agent);
	tcase_add_test(tc, the_silent_do_not_matter);
	tcase_add_test(tc, who_does_not_read);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
