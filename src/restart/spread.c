/* SPDX-License-Identifier: MIT */
/* See spread.h. */
#define _GNU_SOURCE
#include "restart/spread.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "restart/say.h"
#include "util/meet.h"
#include "util/paths.h"
#include "util/ssh.h"

#define ROOT 0
#define WORDS_MAX 40

static struct {
	struct target {
		const char *host; /* NULL: here */
		const char *from; /* where it was */
	} *targets;
	int count; /* 0: nothing to be spread */
	int failures; /* pipe: a line for each group that has failed */
	pid_t root; /* elsewhere: its ssh */
} spread = {.failures = -1};

/* ---- where ---- */

static const char *mapped(const struct options *o, const char *from)
{
	size_t length = strlen(from), i;

	for (i = 0; i < o->map_count; i++)
		if (strncmp(o->maps[i], from, length) == 0 &&
		    o->maps[i][length] == '=')
			return o->maps[i] + length + 1;
	return NULL;
}

/* Nobody maps a host by a misspelt name. */
static void check_maps(const struct options *o)
{
	size_t i;
	int g;

	for (i = 0; i < o->map_count; i++) {
		size_t length = strcspn(o->maps[i], "=");

		for (g = 0; g < spread.count; g++)
			if (strlen(spread.targets[g].from) == length &&
			    strncmp(spread.targets[g].from, o->maps[i],
				    length) == 0)
				break;
		if (g == spread.count)
			fail("--map %s: nothing ran on %.*s", o->maps[i],
			     (int)length, o->maps[i]);
	}
}

/* Each where it was, if nobody else has gone there; the others where the
 * fewest are. */
static void choose_hosts(const struct options *o)
{
	size_t *load = calloc(o->host_count, sizeof(*load)), i, least;
	int g;

	if (!load)
		fail("out of memory");
	for (g = 0; g < spread.count; g++)
		for (i = 0; i < o->host_count; i++)
			if (!spread.targets[g].host && !load[i] &&
			    strcmp(spread.targets[g].from, o->hosts[i]) == 0) {
				spread.targets[g].host = o->hosts[i];
				load[i]++;
			}
	for (g = 0; g < spread.count; g++) {
		if (spread.targets[g].host)
			continue;
		for (least = i = 0; i < o->host_count; i++)
			if (load[i] < load[least])
				least = i;
		spread.targets[g].host = o->hosts[least];
		load[least]++;
	}
	free(load);
}

void spread_decide(struct job *job)
{
	struct options *o = job->options;
	int g, away = 0;

	if (o->group >= 0 ||
	    (job->groups == 1 && !o->host_count && !o->map_count)) {
		manifest_take_group(job, o->group >= 0 ? o->group : ROOT);
		return;
	}
	spread.count = job->groups;
	spread.targets = calloc((size_t)spread.count, sizeof(*spread.targets));
	if (!spread.targets)
		fail("out of memory");
	for (g = 0; g < spread.count; g++) {
		const char *from = strdup(manifest_host(job, g));

		if (!from)
			fail("out of memory");
		spread.targets[g].from = from;
		spread.targets[g].host = mapped(o, from);
	}
	check_maps(o);
	if (o->host_count)
		choose_hosts(o);
	for (g = 0; g < spread.count; g++) {
		if (spread.targets[g].host &&
		    util_ssh_is_here(spread.targets[g].host))
			spread.targets[g].host = NULL;
		away |= spread.targets[g].host != NULL;
	}
	/* A coordinator that we start has to be found by the other hosts. */
	if (away && !o->coordinator.bind[0] && !getenv("CKPT_BIND"))
		strcpy(o->coordinator.bind, "0.0.0.0");
	if (spread.targets[ROOT].host)
		job->group = -1;
	else
		manifest_take_group(job, ROOT);
}

/* ---- starting ---- */

/* The words of a ckpt_restart for one group. */
static int words(const struct job *job, int group, const char *host, int port,
		 const char *argv[WORDS_MAX])
{
	static char group_text[16], port_text[16];
	const struct options *o = job->options;
	int n = 0;

	snprintf(group_text, sizeof(group_text), "%d", group);
	snprintf(port_text, sizeof(port_text), "%d", port);
	argv[n++] = "--group";
	argv[n++] = group_text;
	argv[n++] = "-h";
	argv[n++] = host;
	argv[n++] = "-p";
	argv[n++] = port_text;
	argv[n++] = "-j";
	if (o->files_said) {
		argv[n++] = "--files";
		argv[n++] = o->reopen ? "reopen" : "rollback";
	}
	if (o->capsule != CAPSULE_AUTO) {
		argv[n++] = "--capsule";
		argv[n++] = o->capsule == CAPSULE_ALWAYS ? "always" : "never";
	}
	if (o->ckptdir) {
		argv[n++] = "-d";
		argv[n++] = o->ckptdir;
	}
	if (o->lazy)
		argv[n++] = "--lazy";
	if (!o->verify)
		argv[n++] = "--no-verify";
	if (say_is_quiet())
		argv[n++] = "--quiet";
	argv[n++] = job->generation_dir;
	argv[n] = NULL;
	return n;
}

static void coordinator_place(const struct job *job, char host[96])
{
	snprintf(host, 96, "%.*s",
		 (int)(strrchr(job->coordinator, ':') - job->coordinator),
		 job->coordinator);
}

static _Noreturn void become_local(const struct job *job, int group)
{
	const char *argv[WORDS_MAX + 1] = {"ckpt_restart"};
	char host[96];

	coordinator_place(job, host);
	words(job, group, host, coordinator_port(), argv + 1);
	execv("/proc/self/exe", (char *const *)argv);
	fprintf(stderr, "ckpt_restart: cannot start myself: %s\n",
		strerror(errno));
	_exit(99);
}

static void quote(char *line, size_t size, const char *text)
{
	if (util_ssh_quote(line, size, text) < 0) {
		fprintf(stderr, "ckpt_restart: the command is too long\n");
		_exit(99);
	}
}

/* Two connections: the cookie goes by the first, so that the streams of the
 * second are the program's. */
static _Noreturn void become_remote(const struct job *job, int group,
				    const char *host)
{
	char line[4 * PATH_MAX] = "", path[PATH_MAX], words_text[1024];
	char place[256], err[512], coordinator[96];
	const char *argv[WORDS_MAX];
	int n, i, ret;

	coordinator_place(job, coordinator);
	ret = util_meet_words(coordinator, coordinator_port(), words_text,
			      sizeof(words_text), err, sizeof(err));
	if (ret < 0) {
		fprintf(stderr, "ckpt_restart: %s\n", err);
		_exit(99);
	}
	if (util_find_program("ckpt_command", path, sizeof(path)) < 0)
		strcpy(path, "ckpt_command");
	quote(line, sizeof(line), path);
	strcat(line, " --keep-cookie");
	ret = util_ssh_ask(host, line, group != ROOT, words_text, place,
			   sizeof(place));
	explicit_bzero(words_text, sizeof(words_text));
	if (ret) {
		fprintf(stderr,
			"ckpt_restart: %s cannot be brought in by ssh "
			"(status %d)\n",
			host, ret);
		_exit(99);
	}
	if (util_find_program("ckpt_restart", path, sizeof(path)) < 0)
		strcpy(path, "ckpt_restart");
	strcpy(line, "exec");
	quote(line, sizeof(line), path);
	n = words(job, group, place, coordinator_port(), argv);
	for (i = 0; i < n; i++)
		quote(line, sizeof(line), argv[i]);
	util_ssh_become(host, line, group != ROOT);
	_exit(99);
}

static _Noreturn void become(const struct job *job, int group)
{
	if (spread.targets[group].host)
		become_remote(job, group, spread.targets[group].host);
	become_local(job, group);
}

/* Waits for its ckpt_restart, in the background of all terminals, and tells us
 * when that fails; when we have gone, nobody reads it. */
static _Noreturn void mind(const struct job *job, int group, int tell)
{
	int status = 0, null = open("/dev/null", O_RDONLY);
	pid_t child;

	setsid();
	dup2(null, STDIN_FILENO);
	child = fork();
	if (child == 0)
		become(job, group);
	while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (child < 0 || status) {
		if (spread.targets[group].host)
			dprintf(tell, "host group %d could not be restarted on %s\n",
				group, spread.targets[group].host);
		else
			dprintf(tell, "host group %d (of %s) could not be restarted\n",
				group, spread.targets[group].from);
	}
	_exit(0);
}

void spread_start(struct job *job)
{
	int tell[2], g;
	pid_t pid;

	if (!spread.count)
		return;
	if (pipe2(tell, O_CLOEXEC) < 0)
		fail("pipe: %s", strerror(errno));
	fflush(NULL);
	for (g = 0; g < spread.count; g++) {
		if (g == job->group)
			continue;
		pid = fork();
		if (pid < 0)
			fail("fork: %s", strerror(errno));
		if (pid == 0 && g == ROOT)
			become(job, g);
		if (pid == 0)
			mind(job, g, tell[1]);
		if (g == ROOT)
			spread.root = pid;
	}
	close(tell[1]);
	spread.failures = tell[0];
}

int spread_fd(void)
{
	return spread.failures;
}

void spread_ready(void)
{
	char line[512];
	ssize_t n = read(spread.failures, line, sizeof(line) - 1);

	if (n <= 0) { /* all of them have ended well, or none is there */
		close(spread.failures);
		spread.failures = -1;
		return;
	}
	line[n] = 0;
	line[strcspn(line, "\n")] = 0;
	fail_line(line);
}

/* ---- the root is elsewhere ---- */

static void pass_on(int number)
{
	kill(spread.root, number);
}

static _Noreturn void end_with(int status)
{
	if (WIFSIGNALED(status))
		exit(128 + WTERMSIG(status));
	exit(WEXITSTATUS(status));
}

_Noreturn void spread_lead(void)
{
	static const int passed[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT};
	int all_back = 0, status = 0;
	struct pollfd polls[3];
	size_t i;

	for (i = 0; i < sizeof(passed) / sizeof(*passed); i++)
		signal(passed[i], pass_on);
	polls[0] = (struct pollfd){.events = POLLIN};
	polls[0].fd = (int)syscall(SYS_pidfd_open, spread.root, 0);
	for (;;) {
		polls[1] = (struct pollfd){.fd = all_back ? -1 : coordinator_fd(),
					   .events = POLLIN};
		polls[2] = (struct pollfd){.fd = all_back ? -1 : spread_fd(),
					   .events = POLLIN};
		if (poll(polls, 3, -1) < 0)
			continue;
		if (polls[0].revents) {
			while (waitpid(spread.root, &status, 0) < 0 &&
			       errno == EINTR)
				;
			end_with(status);
		}
		if (polls[2].revents)
			spread_ready();
		if (polls[1].revents && coordinator_ready())
			all_back = 1;
	}
}
