/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "util/ssh.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/cookie.h"

#define WORDS_MAX 32

void util_ssh_become(const char *host, const char *command, int quiet)
{
	const char *given = getenv("CKPT_SSH");
	char *argv[WORDS_MAX + 12], *word, *rest, *words;
	int n = 0;

	words = strdup(given && *given ? given : "ssh");
	if (!words || *host == '-')
		return;
	for (word = strtok_r(words, " ", &rest); word && n < WORDS_MAX;
	     word = strtok_r(NULL, " ", &rest))
		argv[n++] = word;
	if (!n)
		return;
	argv[n++] = "-x";
	argv[n++] = "-T";
	if (quiet) {
		argv[n++] = "-o";
		argv[n++] = "BatchMode=yes";
	}
	argv[n++] = "-o";
	argv[n++] = "ConnectTimeout=10";
	argv[n++] = "--";
	argv[n++] = (char *)host;
	argv[n++] = (char *)command;
	argv[n] = NULL;
	/* It is no part of a computation, should we be. */
	unsetenv("LD_PRELOAD");
	setenv("CKPT_REMOTE_SHELLS", "", 1);
	execvp(argv[0], argv);
	fprintf(stderr, "cannot execute %s: %s\n", argv[0], strerror(errno));
}

/* A shell's start files may say something before it. */
static int read_last_line(int fd, char *line, size_t size)
{
	char text[4096], *at, *rest;
	size_t length = 0;
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
	line[0] = '\0';
	for (at = strtok_r(text, "\r\n", &rest); at;
	     at = strtok_r(NULL, "\r\n", &rest))
		snprintf(line, size, "%s", at);
	explicit_bzero(text, sizeof(text));
	return 0;
}

int util_ssh_ask(const char *host, const char *command, int quiet,
		 const char *input, char *answer, size_t size)
{
	int in[2], out[2], ret = 0, status = 0;
	struct sigaction ignore = {.sa_handler = SIG_IGN}, before;
	pid_t child;

	if (pipe2(in, O_CLOEXEC) < 0)
		return -errno;
	if (pipe2(out, O_CLOEXEC) < 0) {
		ret = -errno;
		close(in[0]);
		close(in[1]);
		return ret;
	}
	child = fork();
	if (child == 0) {
		dup2(in[0], STDIN_FILENO);
		dup2(out[1], STDOUT_FILENO);
		util_ssh_become(host, command, quiet);
		_exit(255);
	}
	close(in[0]);
	close(out[1]);
	if (child < 0)
		ret = -errno;
	/* It may end without having read a word. */
	sigaction(SIGPIPE, &ignore, &before);
	if (!ret && input && write(in[1], input, strlen(input)) < 0)
		ret = 0; /* its exit status tells more */
	close(in[1]);
	sigaction(SIGPIPE, &before, NULL);
	if (!ret)
		ret = read_last_line(out[0], answer, size);
	close(out[0]);
	while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (ret < 0)
		return ret;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

int util_ssh_quote(char *line, size_t size, const char *text)
{
	size_t at = strlen(line);

	/* Each quote takes four characters. */
	if (at + 4 * strlen(text) + 4 > size)
		return -ENOSPC;
	if (at)
		line[at++] = ' ';
	line[at++] = '\'';
	for (; *text; text++) {
		if (*text == '\'') {
			memcpy(line + at, "'\\''", 4);
			at += 4;
		} else {
			line[at++] = *text;
		}
	}
	line[at++] = '\'';
	line[at] = '\0';
	return 0;
}

int util_ssh_is_here(const char *host)
{
	char own[256] = "";

	gethostname(own, sizeof(own) - 1);
	return util_is_local(host) || !strcmp(host, own) || !strcmp(host, ".");
}
