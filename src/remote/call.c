/* SPDX-License-Identifier: MIT */
/* The caller's side of a remote start. See remote.h. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "remote/remote.h"
#include "remote/words.h"
#include "util/attach.h"
#include "util/die.h"
#include "util/meet.h"
#include "util/paths.h"
#include "util/ssh.h"
#include "wire/peer.h"

#define HOLD_TRIES 3
#define TOKEN_MS 10000
#define START_MS 60000 /* after the greeting */

/* ---- the real one ---- */

/* As it was called; the library lets it be. */
static _Noreturn void become_real(const char *shell, char **argv, int argc)
{
	char **all = calloc((size_t)argc + 2, sizeof(*all));

	if (!all)
		die("out of memory");
	all[0] = (char *)shell;
	memcpy(all + 1, argv, (size_t)argc * sizeof(*all));
	setenv("CKPT_REMOTE_SHELLS", "", 1);
	execvp(shell, all);
	fprintf(stderr, "%s: %s\n", shell, strerror(errno));
	exit(errno == ENOENT ? 127 : 126);
}

struct ssh {
	pid_t pid;
	int in, out; /* its standard input and output */
};

/* Nothing is done where ckpt is not installed. csh takes this, too. */
static void remote_command(char *line, size_t size)
{
	char path[PATH_MAX], quoted[4 * PATH_MAX] = "";

	if (util_find_program("ckpt_remote", path, sizeof(path)) < 0 ||
	    util_ssh_quote(quoted, sizeof(quoted), path) < 0)
		die("ckpt_remote is not where we are installed");
	snprintf(line, size, "test -x %s && exec %s --serve", quoted, quoted);
}

static void ssh_start(struct ssh *ssh, const struct call *call)
{
	char line[8 * PATH_MAX + 64], *argv[call->option_count + 8];
	int in[2], out[2], n = 0;

	remote_command(line, sizeof(line));
	memcpy(argv, call->options,
	       (size_t)call->option_count * sizeof(*argv));
	n = call->option_count;
	/* A master in the background would never end. */
	if (strcmp(basename(call->shell), "ssh") == 0) {
		argv[n++] = "-o";
		argv[n++] = "ControlMaster=no";
		argv[n++] = "-T";
	}
	argv[n++] = (char *)call->host;
	argv[n++] = line;
	if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0)
		die("pipe: %s", strerror(errno));
	ssh->pid = fork();
	if (ssh->pid < 0)
		die("fork: %s", strerror(errno));
	if (ssh->pid == 0) {
		dup2(in[0], STDIN_FILENO);
		dup2(out[1], STDOUT_FILENO);
		become_real(call->shell, argv, n);
	}
	close(in[0]);
	close(out[1]);
	ssh->in = in[1];
	ssh->out = out[0];
}

static int ssh_end(struct ssh *ssh)
{
	int status = 0;

	close(ssh->in);
	close(ssh->out);
	while (waitpid(ssh->pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : REMOTE_LOST;
}

/* A line of what it says; 0, or -EPIPE at the end. */
static int ssh_line(struct ssh *ssh, char *line, size_t size)
{
	size_t length = 0;
	ssize_t n;

	for (;;) {
		n = read(ssh->out, line + length, 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -EPIPE;
		if (line[length] == '\n')
			break;
		if (length < size - 1)
			length++;
	}
	line[length] = '\0';
	line[strcspn(line, "\r")] = '\0';
	return 0;
}

/* ---- no checkpoint meanwhile ---- */

static struct wire_peer *hold(struct util_attach *where)
{
	char err[1024];
	struct wire_peer *peer;
	enum wire_type type;
	json_t *body;

	util_attach_defaults(where);
	where->how = ATTACH_JOIN;
	peer = util_coordinator_attach(where, ROLE_LAUNCH, err, sizeof(err));
	if (!peer)
		return NULL;
	if (wire_send(peer, WIRE_JOIN,
		      json_pack("{s:s, s:s, s:s, s:b}", "role", "remote",
				"program", "remote", "dir", "/", "hold", 1)) <
		    0 ||
	    wire_receive(peer, &type, &body, -1) < 0) {
		wire_close(peer);
		return NULL;
	}
	json_decref(body);
	if (type == WIRE_JOINED)
		return peer;
	wire_close(peer);
	return NULL;
}

/* ---- listening ---- */

static int listen_on(int family, int *port)
{
	struct sockaddr_in6 address = {.sin6_family = (sa_family_t)family};
	socklen_t length = family == AF_INET ? sizeof(struct sockaddr_in)
					     : sizeof(address);
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	*port = 0;
	if (fd < 0)
		return -1;
	if (family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&address, length) < 0 ||
	    listen(fd, 8) < 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &length) < 0) {
		close(fd);
		return -1;
	}
	*port = ntohs(address.sin6_port); /* at the same place for both */
	return fd;
}

static void make_token(char token[REMOTE_TOKEN_DIGITS + 1])
{
	unsigned char bytes[REMOTE_TOKEN_DIGITS / 2];

	if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
		die("no random numbers: %s", strerror(errno));
	for (size_t i = 0; i < sizeof(bytes); i++)
		sprintf(token + 2 * i, "%02x", bytes[i]);
}

/* Whoever connects has to bring the token. The connection, or -1. */
static int accept_one(int listener, const char *token)
{
	struct timeval patience = {.tv_sec = TOKEN_MS / 1000}, none = {0};
	char brought[REMOTE_TOKEN_DIGITS];
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC), one = 1;
	int same = 1;

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (recv(fd, brought, sizeof(brought), MSG_WAITALL) !=
	    (ssize_t)sizeof(brought))
		same = 0;
	for (size_t i = 0; same && i < sizeof(brought); i++)
		same &= brought[i] == token[i];
	if (!same) {
		close(fd);
		return -1;
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &none, sizeof(none));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	return fd;
}

/* ---- the start ---- */

static void write_all(int fd, const char *text)
{
	size_t length = strlen(text);
	ssize_t n;

	for (; length; text += n, length -= (size_t)n) {
		n = write(fd, text, length);
		if (n < 0 && errno == EINTR)
			n = 0;
		else if (n < 0)
			return; /* its answer tells more */
	}
}

/* Only now that we know who is there. */
static void tell(struct ssh *ssh, const struct util_attach *where,
		 struct words *words)
{
	char text[1024], err[512], own[256] = "", *rest;

	if (util_meet_words(where->host, where->port, text, sizeof(text), err,
			    sizeof(err)) < 0)
		die("%s", err);
	gethostname(own, sizeof(own) - 1);
	snprintf(words->hosts, sizeof(words->hosts), "* %s", own);
	rest = words_print(words);
	if (!rest)
		die("out of memory");
	write_all(ssh->in, text);
	write_all(ssh->in, rest);
	explicit_bzero(text, sizeof(text));
	free(rest);
}

/* The connection, -1: there is none, and the reason has been told. */
static int await_connection(struct ssh *ssh, const struct call *call,
			    const int listeners[2], const char *token)
{
	struct pollfd polls[3] = {
		{.fd = ssh->out, .events = POLLIN},
		{.fd = listeners[0], .events = POLLIN},
		{.fd = listeners[1], .events = POLLIN},
	};
	int connection = -1, said_ok = 0, i;
	char line[1024];

	while (connection < 0 || !said_ok) {
		if (connection >= 0)
			polls[1].fd = polls[2].fd = -1;
		i = poll(polls, 3, START_MS);
		if (i < 0 && errno == EINTR)
			continue;
		if (i <= 0) {
			warn_user("%s: no connection comes back", call->host);
			kill(ssh->pid, SIGTERM);
			break;
		}
		for (i = 1; i < 3 && connection < 0; i++)
			if (polls[i].revents)
				connection = accept_one(polls[i].fd, token);
		if (!polls[0].revents)
			continue;
		if (ssh_line(ssh, line, sizeof(line)) < 0) {
			warn_user("%s: ssh has ended before the command ran",
				  call->host);
			break;
		}
		said_ok = !strcmp(line, "ok");
		if (!strncmp(line, "error ", 6)) {
			warn_user("%s: %s", call->host, line + 6);
			break;
		}
	}
	if (said_ok && connection >= 0)
		return connection;
	if (connection >= 0)
		close(connection);
	return -1;
}

/* Nobody of ours is there: the real one, and what it starts is outside. */
static _Noreturn void do_without(const struct call *call, int argc, char **argv,
				 const char *why)
{
	warn_user("%s: %s: the command runs there outside of the computation",
		  call->host, why);
	become_real(call->shell, argv, argc);
}

_Noreturn void call_run(const char *shell, int argc, char **argv)
{
	char **words_before = calloc((size_t)argc + 1, sizeof(*words_before));
	int listeners[2], streams[3] = {0, 1, 2}, connection, i, null;
	struct words words = {0};
	struct util_attach where;
	struct wire_peer *held;
	struct ssh ssh;
	struct call call;
	char line[1024];

	/* Closed ones must not become ours. */
	while ((null = open("/dev/null", O_RDWR)) >= 0 && null < 3)
		;
	close(null);
	signal(SIGPIPE, SIG_IGN);
	/* call_parse() changes them. */
	for (i = 0; words_before && i < argc; i++)
		words_before[i] = strdup(argv[i]);
	call_parse(&call, shell, argc, argv);
	if (!words_before || call.plain)
		become_real(shell, words_before ? words_before : argv, argc);
	/* A checkpoint and a restart while we wait for it would cut us off. */
	for (held = NULL, i = 0; !held && i < HOLD_TRIES; i++)
		held = hold(&where);
	if (!held)
		do_without(&call, argc, words_before, "no coordinator answers");
	make_token(words.token);
	words.command = call.command;
	listeners[0] = listen_on(AF_INET, &words.port4);
	listeners[1] = listen_on(AF_INET6, &words.port6);
	ssh_start(&ssh, &call);
	do {
		if (ssh_line(&ssh, line, sizeof(line)) == 0)
			continue;
		i = ssh_end(&ssh);
		if (i == REMOTE_LOST) /* it could not even get there */
			exit(i);
		wire_close(held);
		do_without(&call, argc, words_before, "ckpt is not there");
	} while (strcmp(line, REMOTE_GREETING));
	tell(&ssh, &where, &words);
	connection = await_connection(&ssh, &call, listeners, words.token);
	ssh_end(&ssh);
	for (i = 0; i < 2; i++)
		if (listeners[i] >= 0)
			close(listeners[i]);
	wire_close(held);
	if (connection < 0)
		exit(REMOTE_LOST);
	if (call.no_input)
		streams[0] = -1;
	if (call.background && fork() > 0)
		_exit(0);
	signal(SIGPIPE, SIG_DFL);
	i = relay(RELAY_CALLER, connection, streams, -1, 0);
	exit(i);
}
