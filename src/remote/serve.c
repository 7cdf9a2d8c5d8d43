/* SPDX-License-Identifier: MIT */
/*
 * On the other host, as a command of sshd's: brings it into the computation,
 * starts the runner there and tells how that went. The runner is in a session
 * of its own, with none of our descriptors, so that sshd can end.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "remote/remote.h"
#include "remote/words.h"
#include "util/die.h"
#include "util/meet.h"
#include "util/paths.h"

static _Noreturn void answer(const char *kind, const char *text)
{
	printf("%s%s%s\n", kind, *text ? " " : "", text);
	fflush(stdout);
	exit(*text != 0);
}

/* "*" is where ssh comes from. */
static void name_caller(struct words *words)
{
	const char *from = getenv("SSH_CONNECTION");
	char hosts[sizeof(words->hosts)], *rest;

	if (words->hosts[0] != '*')
		return;
	rest = words->hosts + 1;
	snprintf(hosts, sizeof(hosts), "%.*s%s",
		 from ? (int)strcspn(from, " ") : 0, from ? from : "",
		 from ? rest : rest + strspn(rest, " "));
	strcpy(words->hosts, hosts);
}

static _Noreturn void become_runner(const char *host, int in, int out)
{
	char launch[PATH_MAX], remote[PATH_MAX], port[16];
	char *argv[] = {"ckpt_launch", "-h", (char *)host, "-p", port, "-j",
			"--", remote, "--run", NULL};

	setsid();
	if (fork() > 0) /* nobody's child: sshd's ends with its session */
		_exit(0);
	dup2(in, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	dup2(out, STDERR_FILENO);
	snprintf(port, sizeof(port), "%d", util_meet_port());
	if (util_find_program("ckpt_launch", launch, sizeof(launch)) < 0 ||
	    util_find_program("ckpt_remote", remote, sizeof(remote)) < 0)
		die("ckpt_launch is not where we are installed");
	execv(launch, argv);
	die("cannot execute %s: %s", launch, strerror(errno));
}

static void last_line(int fd, char *line, size_t size)
{
	char text[8192];
	size_t length = 0;
	char *at, *rest;
	ssize_t n;

	while (length < sizeof(text) - 1) {
		n = read(fd, text + length, sizeof(text) - 1 - length);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		length += (size_t)n;
	}
	text[length] = '\0';
	snprintf(line, size, "the command could not be started");
	for (at = strtok_r(text, "\n", &rest); at;
	     at = strtok_r(NULL, "\n", &rest))
		snprintf(line, size, "%s", at);
}

_Noreturn void serve(void)
{
	char host[256], err[1024], line[1024], *text;
	int in[2], out[2];
	struct words words;
	size_t length;
	pid_t child;

	signal(SIGPIPE, SIG_IGN);
	puts(REMOTE_GREETING);
	fflush(stdout);
	if (util_meet(STDIN_FILENO, host, sizeof(host), err, sizeof(err)) < 0)
		answer("error", err);
	if (words_read(STDIN_FILENO, &words) < 0)
		answer("error", "what came by ssh was not expected");
	name_caller(&words);
	text = words_print(&words);
	if (!text || pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0)
		answer("error", "out of memory or descriptors");
	child = fork();
	if (child == 0)
		become_runner(host, in[0], out[1]);
	close(in[0]);
	close(out[1]);
	for (length = strlen(text); child > 0 && length;) {
		ssize_t n = write(in[1], text, length);

		if (n < 0 && errno != EINTR)
			break;
		if (n > 0) {
			text += n;
			length -= (size_t)n;
		}
	}
	close(in[1]);
	last_line(out[0], line, sizeof(line));
	while (child > 0 && waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
	if (!strcmp(line, "ok"))
		answer("ok", "");
	answer("error", line);
}
