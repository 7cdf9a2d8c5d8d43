/* SPDX-License-Identifier: MIT */
/*
 * An agent that was lost on another host, where only ssh can start the next.
 * That takes its time, so a child does it, which logs what it has come to; the
 * agent itself is heard of when it registers.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "coordinator/coordinator.h"
#include "util/daemon.h"
#include "util/log.h"
#include "util/meet.h"
#include "util/paths.h"
#include "util/ssh.h"

/* The cookie goes there, and we hear as whom we are known. */
static int introduce(const char *host, char *place, size_t size)
{
	char line[4 * PATH_MAX] = "", path[PATH_MAX], text[1024], err[512];
	int ret;

	ret = util_meet_words("127.0.0.1", settings.port, text, sizeof(text),
			      err, sizeof(err));
	if (ret < 0 ||
	    util_find_program("ckpt_command", path, sizeof(path)) < 0 ||
	    util_ssh_quote(line, sizeof(line) - 20, path) < 0)
		return -ENOENT;
	strcat(line, " --keep-cookie");
	ret = util_ssh_ask(host, line, 1, text, place, size);
	explicit_bzero(text, sizeof(text));
	return ret;
}

/* Not where nothing is left that it could look after. */
static int start(const char *host, const char *place, const char *group_dir,
		 const char *id)
{
	char line[8 * PATH_MAX] = "test -d", path[PATH_MAX], to[300], said[256];
	const char *words[] = {"--group-dir", group_dir, "--coordinator", to,
			       "--computation", id};
	int ret = util_ssh_quote(line, sizeof(line), group_dir);
	size_t i;

	snprintf(to, sizeof(to), "%s:%d", place, settings.port);
	if (util_find_program("ckpt_agent", path, sizeof(path)) < 0)
		return -ENOENT;
	strcat(line, " && exec");
	if (ret == 0)
		ret = util_ssh_quote(line, sizeof(line), path);
	for (i = 0; ret == 0 && i < sizeof(words) / sizeof(*words); i++)
		ret = util_ssh_quote(line, sizeof(line), words[i]);
	if (ret == 0)
		ret = util_ssh_ask(host, line, 1, NULL, said, sizeof(said));
	return ret;
}

static _Noreturn void go(const char *host, const char *group_dir,
			 const char *id)
{
	char place[256];
	int ret;

	setsid();
	util_default_signals();
	ret = introduce(host, place, sizeof(place));
	if (ret == 0)
		ret = start(host, place, group_dir, id);
	if (ret == 0)
		log_line("started a new agent in %s on %s", group_dir, host);
	else if (ret < 0)
		log_line("cannot start an agent on %s: %s", host,
			 strerror(-ret));
	else
		log_line("cannot start an agent on %s by ssh: status %d", host,
			 ret);
	_exit(0);
}

void abroad_start_agent(const char *host, const char *group_dir, const char *id)
{
	pid_t child = fork();

	/* A child in between, so that nobody has to wait for the other. */
	if (child == 0) {
		if (fork() == 0)
			go(host, group_dir, id);
		_exit(0);
	}
	while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
}
