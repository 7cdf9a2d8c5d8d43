/* SPDX-License-Identifier: MIT */
/*
 * ckpt_agent between a coordinator that is this test and processes that are
 * fake_process.c: the main path, and every way off it. After each failure
 * nothing partial is left, the processes live, and the next checkpoint works.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake_process.h"
#include "util/daemon.h"
#include "util/cookie.h"
#include "util/runtime.h"
#include "wire/peer.h"

#define WAIT_MS 20000
#define ID "0123456789abcdef"

static struct {
	char root[64], group_dir[128], dir[128], address[32];
	unsigned char cookie[UTIL_COOKIE_BYTES];
	int listener;
	struct wire_peer *agent;
	pid_t agent_pid;
	int request, generation;
	struct fake fake;
} world;

/* ---- the world ---- */

static void agent_start(const char *option, const char *value)
{
	char path[4096], log[256], line[256];
	char *argv[] = {"ckpt_agent",
			"--group-dir",
			world.group_dir,
			"--coordinator",
			world.address,
			"--computation",
			ID,
			"--ready-fd",
			"3",
			(char *)option,
			(char *)value,
			NULL};
	int ret;

	snprintf(path, sizeof(path), "%s/ckpt_agent", getenv("CKPT_BUILD"));
	snprintf(log, sizeof(log), "%s/log", world.root);
	ret = util_start_daemon(path, argv, log, WAIT_MS, line, sizeof(line));
	ck_assert_msg(ret == 0, "%s", line);
	ck_assert_str_eq(line, "ready");
}

/* The next message, which must be of this type; its body is the caller's. */
static json_t *expect(enum wire_type type)
{
	enum wire_type got;
	json_t *body;
	int ret = wire_receive(world.agent, &got, &body, WAIT_MS);

	ck_assert_msg(ret == 0, "waiting for %s: %s", wire_name(type),
		      strerror(-ret));
	ck_assert_msg(got == type, "%s instead of %s: %s", wire_name(got),
		      wire_name(type), json_dumps(body, 0));
	return body;
}

static json_t *agent_accept(void)
{
	struct pollfd pfd = {.fd = world.listener, .events = POLLIN};
	json_t *body;

	ck_assert_int_eq(poll(&pfd, 1, WAIT_MS), 1);
	world.agent = wire_accept(accept4(world.listener, NULL, NULL,
					  SOCK_NONBLOCK | SOCK_CLOEXEC),
				  world.cookie);
	ck_assert_ptr_nonnull(world.agent);
	body = expect(WIRE_REGISTER);
	world.agent_pid = (pid_t)wire_int(body, "pid", 0);
	return body;
}

static void setup(void)
{
	struct sockaddr_in here = {.sin_family = AF_INET};
	socklen_t length = sizeof(here);
	char err[256];
	int port;

	strcpy(world.root, "/tmp/ckpt-agent-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(world.root));
	setenv("XDG_RUNTIME_DIR", world.root, 1);
	unsetenv("CKPT_COOKIE_FILE");
	here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	world.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bind(world.listener, (struct sockaddr *)&here, sizeof(here));
	listen(world.listener, 8);
	getsockname(world.listener, (struct sockaddr *)&here, &length);
	port = ntohs(here.sin_port);
	ck_assert_int_eq(util_cookie_make(port, world.cookie, err, sizeof(err)),
			 0);
	snprintf(world.address, sizeof(world.address), "127.0.0.1:%d", port);
	snprintf(world.group_dir, sizeof(world.group_dir), "%s/ckpt/" ID "-1",
		 world.root);
	snprintf(world.dir, sizeof(world.dir), "%s/ckpt-fake", world.root);
	mkdir(world.dir, 0700);
	memset(&world.fake, 0, sizeof(world.fake));
	world.fake.group_dir = world.group_dir;
	world.generation = world.request = 0;
}

static void setup_agent(void)
{
	setup();
	agent_start(NULL, NULL);
	json_decref(agent_accept());
}

static void teardown(void)
{
	char command[256];
	siginfo_t info;

	wire_close(world.agent);
	world.agent = NULL;
	close(world.listener);
	if (world.agent_pid > 0)
		kill(world.agent_pid, SIGKILL);
	while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
	       info.si_pid)
		waitpid(info.si_pid, NULL, 0);
	umount2(world.dir, MNT_DETACH);
	snprintf(command, sizeof(command), "rm -rf '%s'", world.root);
	if (system(command) != 0)
		fprintf(stderr, "cannot remove %s\n", world.root);
}

/* ---- the coordinator's part ---- */

static char *generation_dir(void)
{
	static char dir[256];

	snprintf(dir, sizeof(dir), "%s/gen-%06d", world.dir, world.generation);
	return dir;
}

static json_t *prepare_body(void)
{
	world.generation++;
	world.request++;
	return json_pack("{s:i, s:i, s:s, s:s, s:s, s:i, s:i, s:i}", "request",
			 world.request, "generation", world.generation, "dir",
			 world.dir, "generation_dir", generation_dir(),
			 "compress", "auto", "keep", 2, "stop_ms", 5000,
			 "capture_ms", 1000);
}

static void say(enum wire_type type)
{
	wire_send(world.agent, type,
		  json_pack("{s:i}", "request", world.request));
	ck_assert_int_eq(wire_flush(world.agent, WAIT_MS), 0);
}

/* DONE of that phase; PROGRESS may come before. */
static json_t *expect_done(const char *phase)
{
	enum wire_type type;
	json_t *body;

	for (;;) {
		int ret = wire_receive(world.agent, &type, &body, WAIT_MS);

		ck_assert_msg(ret == 0, "waiting for %s: %s", phase,
			      strerror(-ret));
		if (type != WIRE_PROGRESS)
			break;
		json_decref(body);
	}
	ck_assert_msg(type == WIRE_DONE, "%s: %s", wire_name(type),
		      json_dumps(body, 0));
	ck_assert_str_eq(wire_string(body, "phase", ""), phase);
	ck_assert_int_eq(wire_int(body, "request", 0), world.request);
	return body;
}

static const struct {
	enum wire_phase phase;
	enum wire_type type;
} steps[] = {
	{PHASE_STOP, WIRE_STOP},
	{PHASE_CAPTURE, WIRE_CAPTURE},
	{PHASE_SNAPSHOT, WIRE_SNAPSHOT},
	{PHASE_RELEASE, WIRE_RELEASE},
};

/* All that is asked before `last`, and its answers. */
static void go_until(enum wire_phase last, json_t *prepare)
{
	wire_send(world.agent, WIRE_PREPARE, prepare);
	ck_assert_int_eq(wire_flush(world.agent, WAIT_MS), 0);
	if (last == PHASE_PREPARE)
		return;
	json_decref(expect_done("prepare"));
	for (int i = 0; i < 4; i++) {
		say(steps[i].type);
		if (steps[i].phase == last)
			return;
		json_decref(expect_done(phase_name(steps[i].phase)));
	}
}

static json_t *commit(json_t *written)
{
	json_t *manifest =
		json_pack("{s:i, s:O, s:O}", "generation", world.generation,
			  "images", json_object_get(written, "images"), "files",
			  json_object_get(written, "files"));

	wire_send(world.agent, WIRE_COMMIT,
		  json_pack("{s:i, s:o}", "request", world.request, "manifest",
			    manifest));
	ck_assert_int_eq(wire_flush(world.agent, WAIT_MS), 0);
	return expect_done("commit");
}

static int there(const char *name)
{
	char path[512];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", world.dir, name);
	return lstat(path, &st) == 0;
}

static int count(const char *name)
{
	char path[512];
	struct dirent *entry;
	DIR *dir;
	int n = 0;

	snprintf(path, sizeof(path), "%s/%s", world.dir, name);
	dir = opendir(path);
	while (dir && (entry = readdir(dir)))
		n += entry->d_name[0] != '.';
	if (dir)
		closedir(dir);
	return n;
}

/* A whole checkpoint that succeeds. Returns what DONE write said. */
static json_t *checkpoint(void)
{
	char name[64], link[64] = "", path[256];
	json_t *written;

	go_until(PHASE_WRITE, prepare_body());
	written = expect_done("write");
	json_decref(commit(written));
	snprintf(name, sizeof(name), "gen-%06d/manifest.json",
		 world.generation);
	ck_assert(there(name));
	snprintf(path, sizeof(path), "%s/latest", world.dir);
	ck_assert(readlink(path, link, sizeof(link) - 1) > 0);
	ck_assert_str_eq(link, strrchr(generation_dir(), '/') + 1);
	return written;
}

/* FAILED, then what a coordinator does; the text must hold `why`. */
static void expect_failed(const char *phase, const char *why)
{
	enum wire_type type;
	json_t *body;
	const char *text;

	do
		ck_assert_int_eq(
			wire_receive(world.agent, &type, &body, WAIT_MS), 0);
	while (type == WIRE_PROGRESS || type == WIRE_DONE);
	ck_assert_msg(type == WIRE_FAILED, "%s", wire_name(type));
	text = wire_string(body, "text", "");
	if (phase) /* NULL: a race decides which */
		ck_assert_str_eq(wire_string(body, "phase", ""), phase);
	ck_assert_msg(strstr(text, why) != NULL, "no \"%s\" in: %s", why, text);
	json_decref(body);
	say(WIRE_ABORT);
	json_decref(expect_done("abort"));
	ck_assert_msg(!there(strrchr(generation_dir(), '/') + 1),
		      "something partial is left");
}

/* ---- stories ---- */

START_TEST(main_path)
{
	json_t *written, *image;
	pid_t pid = fake_start(&world.fake);

	written = checkpoint();
	image = json_array_get(json_object_get(written, "images"), 0);
	ck_assert_int_eq(wire_int(image, "pid", 0), pid);
	ck_assert_str_eq(wire_string(image, "program", ""), "fake");
	ck_assert_int_eq(wire_int(written, "raw", 0), 8192);
	json_decref(written);
	json_decref(checkpoint());
	ck_assert_int_eq(kill(pid, 0), 0);
	/* No process: no agent. */
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}
END_TEST

START_TEST(many_processes)
{
	json_t *written;

	for (int i = 0; i < 20; i++)
		fake_start(&world.fake);
	written = checkpoint();
	ck_assert_int_eq(json_array_size(json_object_get(written, "images")),
			 20);
	json_decref(written);
}
END_TEST

START_TEST(generations_pruned)
{
	fake_start(&world.fake);
	for (int i = 0; i < 4; i++)
		json_decref(checkpoint());
	ck_assert(!there("gen-000001") && !there("gen-000002"));
	ck_assert(there("gen-000003") && there("gen-000004"));
}
END_TEST

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	fputs(text, file);
	fclose(file);
}

START_TEST(files_stored)
{
	char path[128], stored[256], content[64] = "";
	json_t *written, *file;
	FILE *copy;

	snprintf(path, sizeof(path), "%s/data", world.root);
	write_file(path, "first content");
	world.fake.file = path;
	world.fake.file_now = _i;
	fake_start(&world.fake);
	fake_start(&world.fake);
	written = checkpoint();
	ck_assert_int_eq(json_array_size(json_object_get(written, "files")), 1);
	file = json_array_get(json_object_get(written, "files"), 0);
	snprintf(stored, sizeof(stored), "%s/store/%s", world.dir,
		 wire_string(file, "hash", "?"));
	copy = fopen(stored, "r");
	ck_assert_ptr_nonnull(copy);
	ck_assert_ptr_nonnull(fgets(content, sizeof(content), copy));
	ck_assert_str_eq(content, "first content");
	fclose(copy);
	json_decref(written);
	/* When no generation names it any more it goes. */
	write_file(path, "second content, longer");
	json_decref(checkpoint());
	ck_assert_int_eq(access(stored, F_OK), 0);
	json_decref(checkpoint());
	ck_assert_int_eq(access(stored, F_OK), -1);
}
END_TEST

/* Mostly holes: so is the copy. */
START_TEST(file_sparse)
{
	char path[128], stored[256];
	json_t *written, *file;
	struct stat st;
	int fd;

	snprintf(path, sizeof(path), "%s/data", world.root);
	fd = open(path, O_CREAT | O_RDWR, 0600);
	ck_assert_int_eq(pwrite(fd, "x", 1, 64 << 20), 1);
	ck_assert_int_eq(ftruncate(fd, 200 << 20), 0);
	close(fd);
	world.fake.file = path;
	world.fake.file_now = 1;
	fake_start(&world.fake);
	written = checkpoint();
	file = json_array_get(json_object_get(written, "files"), 0);
	snprintf(stored, sizeof(stored), "%s/store/%s", world.dir,
		 wire_string(file, "hash", "?"));
	ck_assert_int_eq(stat(stored, &st), 0);
	ck_assert_int_eq(st.st_size, 200 << 20);
	ck_assert_int_lt(st.st_blocks, 2048);
	json_decref(written);
}
END_TEST

/* It was to be copied after the release, and somebody else was faster. */
START_TEST(file_changed)
{
	char path[128];
	json_t *written, *file;

	snprintf(path, sizeof(path), "%s/data", world.root);
	write_file(path, "first content");
	world.fake.file = path;
	fake_start(&world.fake);
	go_until(PHASE_SNAPSHOT, prepare_body());
	json_decref(expect_done("snapshot"));
	write_file(path, "something else");
	say(WIRE_RELEASE);
	json_decref(expect_done("release"));
	written = expect_done("write");
	file = json_array_get(json_object_get(written, "files"), 0);
	ck_assert(wire_bool(file, "changed", 0));
	ck_assert_int_eq(json_array_size(json_object_get(written, "warnings")),
			 1);
	json_decref(commit(written));
	json_decref(written);
}
END_TEST

/* A new agent for a group that has nobody: it does not wait. */
START_TEST(nobody_left)
{
	pid_t pid = fake_start(&world.fake);

	kill(world.agent_pid, SIGKILL);
	wire_close(world.agent);
	world.agent = NULL;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	agent_start(NULL, NULL);
	json_decref(agent_accept());
	json_decref(expect(WIRE_LEAVING));
}
END_TEST

static const char *const phases[] = {"",	 "prepare", "stop",  "capture",
				     "snapshot", "release", "write", "commit"};

START_TEST(process_fails)
{
	pid_t good = fake_start(&world.fake), bad;

	json_decref(checkpoint());
	world.fake.fails = _i;
	bad = fake_start(&world.fake);
	go_until(_i, prepare_body());
	expect_failed(phases[_i], "as the test wants");
	kill(bad, SIGKILL);
	waitpid(bad, NULL, 0);
	json_decref(checkpoint());
	ck_assert_int_eq(kill(good, 0), 0);
}
END_TEST

START_TEST(process_dies)
{
	pid_t good = fake_start(&world.fake), bad;

	json_decref(checkpoint());
	world.fake.dies = _i;
	bad = fake_start(&world.fake);
	go_until(_i, prepare_body());
	if (_i == PHASE_STOP) {
		/* It has said HELLO already: told from an exec by its death. */
		json_decref(expect_done("stop"));
		say(WIRE_ABORT);
		json_decref(expect_done("abort"));
	} else {
		expect_failed(phases[_i], "ended in phase");
	}
	waitpid(bad, NULL, 0);
	json_decref(checkpoint());
	ck_assert_int_eq(kill(good, 0), 0);
}
END_TEST

START_TEST(process_silent)
{
	pid_t bad;
	json_t *body = NULL;

	fake_start(&world.fake);
	world.fake.silent = _i;
	bad = fake_start(&world.fake);
	body = prepare_body();
	json_object_set_new(body, "stop_ms", json_integer(300));
	json_object_set_new(body, "capture_ms", json_integer(300));
	go_until(_i, body);
	expect_failed(phases[_i], "too late");
	kill(bad, SIGKILL);
	waitpid(bad, NULL, 0);
	json_decref(checkpoint());
}
END_TEST

/* The phases whose faults are the agent's own. */
static void fault(enum wire_phase phase)
{
	json_t *body = prepare_body();

	fake_start(&world.fake);
	json_object_set_new(body, "fault",
			    json_pack("{s:s, s:i}", "phase", phases[phase],
				      "error", ENOSPC));
	go_until(phase, body);
	if (phase == PHASE_COMMIT) {
		json_decref(expect_done("write"));
		say(WIRE_COMMIT);
	}
	expect_failed(phases[phase], "No space left");
	json_decref(checkpoint());
}

START_TEST(fault_prepare)
{
	fault(PHASE_PREPARE);
}
END_TEST

START_TEST(fault_release)
{
	fault(PHASE_RELEASE);
}
END_TEST

START_TEST(fault_commit)
{
	fault(PHASE_COMMIT);
}
END_TEST

/* ABORT at any moment. */
START_TEST(aborted)
{
	pid_t pid = fake_start(&world.fake);

	go_until(_i, prepare_body());
	say(WIRE_ABORT);
	for (;;) {
		enum wire_type type;
		json_t *body;
		int over;

		ck_assert_int_eq(
			wire_receive(world.agent, &type, &body, WAIT_MS), 0);
		ck_assert(type == WIRE_DONE || type == WIRE_PROGRESS);
		over = !strcmp(wire_string(body, "phase", ""), "abort");
		json_decref(body);
		if (over)
			break;
	}
	ck_assert(!there(strrchr(generation_dir(), '/') + 1));
	json_decref(checkpoint());
	ck_assert_int_eq(kill(pid, 0), 0);
}
END_TEST

START_TEST(writer_killed)
{
	pid_t bad;

	fake_start(&world.fake);
	world.fake.writer_dies = 1;
	bad = fake_start(&world.fake);
	go_until(PHASE_RELEASE, prepare_body());
	expect_failed(NULL, "writer of process");
	ck_assert_int_eq(kill(bad, 0), 0);
	kill(bad, SIGKILL);
	waitpid(bad, NULL, 0);
	json_decref(checkpoint());
}
END_TEST

/* It may be before the release: the process must not stay parked. */
START_TEST(writer_failed)
{
	pid_t bad;

	fake_start(&world.fake);
	world.fake.writer_fails = 1;
	bad = fake_start(&world.fake);
	for (int i = 0; i < 2; i++) {
		go_until(PHASE_SNAPSHOT, prepare_body());
		expect_failed("write", "as the test wants");
	}
	kill(bad, SIGKILL);
	waitpid(bad, NULL, 0);
	json_decref(checkpoint());
}
END_TEST

START_TEST(writer_lied)
{
	world.fake.writer_lies = 1;
	fake_start(&world.fake);
	go_until(PHASE_RELEASE, prepare_body());
	expect_failed(NULL, "did not reach the disk");
}
END_TEST

START_TEST(writer_hangs_and_is_ended)
{
	pid_t pid;

	world.fake.writer_hangs = 1;
	pid = fake_start(&world.fake);
	go_until(PHASE_WRITE, prepare_body());
	say(WIRE_ABORT);
	json_decref(expect_done("abort"));
	ck_assert_int_eq(kill(pid, 0), 0);
	ck_assert(!there(strrchr(generation_dir(), '/') + 1));
}
END_TEST

/* Its image is the writer's business by then. */
START_TEST(program_ends_while_written)
{
	pid_t other = fake_start(&world.fake), pid;
	json_t *written;

	world.fake.dies = PHASE_RELEASE;
	pid = fake_start(&world.fake);
	go_until(PHASE_WRITE, prepare_body());
	written = expect_done("write");
	ck_assert_int_eq(json_array_size(json_object_get(written, "images")),
			 2);
	json_decref(commit(written));
	json_decref(written);
	waitpid(pid, NULL, 0);
	ck_assert_int_eq(kill(other, 0), 0);
}
END_TEST

START_TEST(exec_waited_for)
{
	world.fake.late_slot = 1;
	fake_start(&world.fake);
	json_decref(checkpoint());
}
END_TEST

START_TEST(stopped_process)
{
	pid_t pid = fake_start(&world.fake);
	int status;

	kill(pid, SIGSTOP);
	waitpid(pid, NULL, WUNTRACED);
	json_decref(checkpoint());
	/* It has stopped again, which its parent is told. */
	ck_assert_int_eq(waitpid(pid, &status, WUNTRACED), pid);
	ck_assert(WIFSTOPPED(status));
	kill(pid, SIGCONT);
	json_decref(checkpoint());
}
END_TEST

START_TEST(held)
{
	pid_t pid = fake_start(&world.fake);
	json_t *body = prepare_body(), *written;
	int status;

	json_object_set_new(body, "hold", json_true());
	go_until(PHASE_WRITE, body);
	written = expect_done("write");
	ck_assert_int_eq(kill(pid, 0), 0);
	json_decref(commit(written));
	json_decref(written);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	json_decref(expect(WIRE_LEAVING));
}
END_TEST

START_TEST(coordinator_lost)
{
	pid_t pid = fake_start(&world.fake);
	json_t *body;

	go_until(_i, prepare_body());
	wire_close(world.agent);
	body = agent_accept();
	ck_assert_int_eq(wire_int(body, "processes", 0), 1);
	json_decref(body);
	/* It has aborted by itself, or does now. */
	do {
		int busy;

		world.generation--;
		wire_send(world.agent, WIRE_PREPARE, prepare_body());
		wire_flush(world.agent, WAIT_MS);
		{
			enum wire_type type;

			ck_assert_int_eq(wire_receive(world.agent, &type, &body,
						      WAIT_MS),
					 0);
			busy = type == WIRE_FAILED;
			json_decref(body);
		}
		if (!busy)
			break;
	} while (1);
	say(WIRE_ABORT);
	json_decref(expect_done("abort"));
	json_decref(checkpoint());
	ck_assert_int_eq(kill(pid, 0), 0);
}
END_TEST

START_TEST(agent_killed)
{
	pid_t pid = fake_start(&world.fake);
	json_t *body;

	go_until(_i, prepare_body());
	kill(world.agent_pid, SIGKILL);
	wire_close(world.agent);
	world.agent = NULL;
	agent_start(NULL, NULL);
	body = agent_accept();
	ck_assert_int_eq(wire_int(body, "processes", 0), 1);
	json_decref(body);
	ck_assert(!there(strrchr(generation_dir(), '/') + 1));
	json_decref(checkpoint());
	ck_assert_int_eq(kill(pid, 0), 0);
}
END_TEST

START_TEST(second_agent)
{
	char path[4096], pid_text[16], line[8] = "";
	int ready[2], status;
	pid_t pid;

	fake_start(&world.fake);
	ck_assert_int_eq(pipe(ready), 0);
	snprintf(path, sizeof(path), "%s/ckpt_agent", getenv("CKPT_BUILD"));
	snprintf(pid_text, sizeof(pid_text), "%d", getpid());
	pid = fork();
	if (!pid) {
		dup2(ready[1], 3);
		execl(path, path, "--group-dir", world.group_dir,
		      "--coordinator", world.address, "--computation", ID,
		      "--ready-fd", "3", "--for-pid", pid_text, NULL);
		_exit(1);
	}
	waitpid(pid, &status, 0);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 3);
	ck_assert_int_eq(read(ready[0], line, sizeof(line)), 6);
	ck_assert_int_eq(strncmp(line, "there\n", 6), 0);
	json_decref(checkpoint());
}
END_TEST

/* sleep(1), a child of the process, has no slot. */
START_TEST(stranger)
{
	json_t *body;

	world.fake.spawns = 1;
	fake_start(&world.fake);
	go_until(PHASE_PREPARE, prepare_body());
	expect_failed("prepare", "(sleep) cannot be checkpointed");
	body = prepare_body();
	json_object_set_new(body, "ignore_foreign", json_true());
	go_until(PHASE_WRITE, body);
	json_decref(expect_done("write"));
}
END_TEST

START_TEST(directory_impossible)
{
	char path[128];
	json_t *body = prepare_body();

	fake_start(&world.fake);
	snprintf(path, sizeof(path), "%s/file", world.root);
	write_file(path, "no folder");
	strcat(path, "/gen-000001");
	json_object_set_new(body, "generation_dir", json_string(path));
	go_until(PHASE_PREPARE, body);
	expect_failed("prepare", "cannot create");
	json_decref(checkpoint());
}
END_TEST

/* Full before the image, and full by the file that is stored. */
START_TEST(disk_full)
{
	static char megabyte[1 << 20];
	char path[128];
	FILE *file;
	pid_t pid;

	if (mount("tmpfs", world.dir, "tmpfs", 0, "size=1m,mode=700") < 0)
		return; /* not root */
	snprintf(path, sizeof(path), "%s/big", world.root);
	memset(megabyte, 'x', sizeof(megabyte));
	file = fopen(path, "w");
	for (int i = 0; i < 4; i++)
		fwrite(megabyte, 1, sizeof(megabyte), file);
	fclose(file);
	world.fake.file = path;
	world.fake.file_now = _i;
	pid = fake_start(&world.fake);
	go_until(_i ? PHASE_CAPTURE : PHASE_WRITE, prepare_body());
	expect_failed(_i ? "capture" : "write", "No space left");
	ck_assert_int_eq(count("store"), 0);
	ck_assert_int_eq(truncate(path, 100), 0);
	json_decref(checkpoint());
	ck_assert_int_eq(kill(pid, 0), 0);
}
END_TEST

START_TEST(ends_with_the_last)
{
	pid_t one = fake_start(&world.fake), two = fake_start(&world.fake);
	struct pollfd gone = {.events = POLLIN};
	json_t *body;

	kill(one, SIGKILL);
	waitpid(one, NULL, 0);
	wire_send(world.agent, WIRE_QUERY, json_pack("{s:i}", "seq", 7));
	wire_flush(world.agent, WAIT_MS);
	body = expect(WIRE_PROCESSES);
	ck_assert_int_eq(wire_int(body, "seq", 0), 7);
	ck_assert_int_eq(json_array_size(json_object_get(body, "processes")),
			 1);
	json_decref(body);
	wire_send(world.agent, WIRE_KILL, json_object());
	wire_flush(world.agent, WAIT_MS);
	waitpid(two, NULL, 0);
	gone.fd = (int)syscall(SYS_pidfd_open, world.agent_pid, 0);
	json_decref(expect(WIRE_LEAVING));
	ck_assert(gone.fd < 0 || poll(&gone, 1, WAIT_MS) == 1);
	close(gone.fd);
	ck_assert_int_eq(access(world.group_dir, F_OK), -1);
}
END_TEST

START_TEST(restarted)
{
	json_t *body;
	pid_t pid;
	struct pollfd nothing;

	setup();
	agent_start("--expect", "2");
	body = agent_accept();
	ck_assert_int_eq(wire_int(body, "expect", 0), 2);
	json_decref(body);
	world.fake.reborn = 5;
	pid = fork(); /* fake_start() returns when they have been released */
	if (!pid) {
		fake_start(&world.fake);
		pause();
	}
	if (!fork()) {
		fake_start(&world.fake);
		pause();
	}
	body = expect(WIRE_RESTARTED);
	ck_assert_int_eq(wire_int(body, "processes", 0), 2);
	json_decref(body);
	nothing.fd = wire_fd(world.agent);
	nothing.events = POLLIN;
	ck_assert_int_eq(poll(&nothing, 1, 50), 0);
	wire_send(world.agent, WIRE_RESUME, json_object());
	world.fake.reborn = 0;
	body = checkpoint();
	ck_assert_int_eq(json_array_size(json_object_get(body, "images")), 2);
	json_decref(body);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("agent");
	TCase *agent = tcase_create("agent"), *own = tcase_create("own");
	char here[4096] = "";
	SRunner *runner;
	int failed;

	/* Beside us: the agent stands in "/" when it is started. */
	if (!getenv("CKPT_BUILD") &&
	    readlink("/proc/self/exe", here, sizeof(here) - 1) > 0) {
		*strrchr(here, '/') = 0;
		setenv("CKPT_BUILD", here, 1);
	}
	tcase_set_timeout(agent, 60);
	tcase_add_checked_fixture(agent, setup_agent, teardown);
	tcase_add_test(agent, main_path);
	tcase_add_test(agent, many_processes);
	tcase_add_test(agent, generations_pruned);
	tcase_add_loop_test(agent, files_stored, 0, 2);
	tcase_add_test(agent, file_sparse);
	tcase_add_test(agent, file_changed);
	tcase_add_test(agent, nobody_left);
	tcase_add_loop_test(agent, process_fails, PHASE_STOP, PHASE_RELEASE);
	tcase_add_loop_test(agent, process_dies, PHASE_STOP, PHASE_RELEASE);
	tcase_add_loop_test(agent, process_silent, PHASE_STOP, PHASE_RELEASE);
	tcase_add_test(agent, fault_prepare);
	tcase_add_test(agent, fault_release);
	tcase_add_test(agent, fault_commit);
	tcase_add_loop_test(agent, aborted, PHASE_PREPARE, PHASE_COMMIT);
	tcase_add_test(agent, writer_killed);
	tcase_add_test(agent, writer_failed);
	tcase_add_test(agent, writer_lied);
	tcase_add_test(agent, writer_hangs_and_is_ended);
	tcase_add_test(agent, program_ends_while_written);
	tcase_add_test(agent, exec_waited_for);
	tcase_add_test(agent, stopped_process);
	tcase_add_test(agent, held);
	tcase_add_loop_test(agent, coordinator_lost, PHASE_PREPARE,
			    PHASE_COMMIT);
	tcase_add_loop_test(agent, agent_killed, PHASE_PREPARE, PHASE_COMMIT);
	tcase_add_test(agent, second_agent);
	tcase_add_test(agent, stranger);
	tcase_add_test(agent, directory_impossible);
	tcase_add_loop_test(agent, disk_full, 0, 2);
	tcase_add_test(agent, ends_with_the_last);
	suite_add_tcase(suite, agent);
	tcase_set_timeout(own, 60);
	tcase_add_checked_fixture(own, NULL, teardown);
	tcase_add_test(own, restarted);
	suite_add_tcase(suite, own);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
