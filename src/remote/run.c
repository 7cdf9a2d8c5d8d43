/* SPDX-License-Identifier: MIT */
/* The runner: in the computation on the other host, it calls back and runs the
 * command in the user's shell, as sshd would. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "remote/remote.h"
#include "remote/words.h"
#include "util/die.h"

#define CONNECT_MS 10000

static int connect_to(const struct addrinfo *to)
{
	int fd = socket(to->ai_family,
			SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct pollfd wait = {.fd = fd, .events = POLLOUT};
	socklen_t length = sizeof(int);
	int error = 0;

	if (fd < 0)
		return -1;
	if (connect(fd, to->ai_addr, to->ai_addrlen) < 0) {
		if (errno != EINPROGRESS || poll(&wait, 1, CONNECT_MS) != 1 ||
		    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0)
			error = ETIMEDOUT;
	}
	if (error) {
		close(fd);
		errno = error;
		return -1;
	}
	fcntl(fd, F_SETFL, 0);
	return fd;
}

static int call_back(const char *host, const struct words *words)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list, *to;
	int fd = -1, one = 1;

	if (getaddrinfo(host, NULL, &hints, &list))
		return -1;
	for (to = list; to && fd < 0; to = to->ai_next) {
		if (to->ai_family == AF_INET && words->port4)
			((struct sockaddr_in *)to->ai_addr)->sin_port =
				htons((uint16_t)words->port4);
		else if (to->ai_family == AF_INET6 && words->port6)
			((struct sockaddr_in6 *)to->ai_addr)->sin6_port =
				htons((uint16_t)words->port6);
		else
			continue;
		fd = connect_to(to);
	}
	freeaddrinfo(list);
	if (fd < 0)
		return -1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	if (send(fd, words->token, REMOTE_TOKEN_DIGITS, MSG_NOSIGNAL) ==
	    REMOTE_TOKEN_DIGITS)
		return fd;
	close(fd);
	return -1;
}

static _Noreturn void become_command(const char *command, const int streams[3])
{
	const char *shell = getenv("SHELL"), *name;
	const struct passwd *user = getpwuid(getuid());
	sigset_t none;
	int i;

	if (user && user->pw_shell && *user->pw_shell)
		shell = user->pw_shell;
	if (!shell || !*shell)
		shell = "/bin/sh";
	name = strrchr(shell, '/');
	setsid();
	for (i = 0; i < 3; i++)
		dup2(streams[i], i);
	close_range(3, ~0u, 0);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execl(shell, name ? name + 1 : shell, "-c", command, (char *)NULL);
	fprintf(stderr, "%s: %s\n", shell, strerror(errno));
	_exit(127);
}

static pid_t start(const char *command, int ours[3])
{
	int pipes[3][2], theirs[3], i;
	pid_t child;

	for (i = 0; i < 3; i++) {
		if (pipe2(pipes[i], O_CLOEXEC) < 0)
			die("pipe: %s", strerror(errno));
		/* The first it reads, the others it writes. */
		theirs[i] = pipes[i][i > 0];
		ours[i] = pipes[i][i == 0];
		while (theirs[i] < 3) /* out of the way of 0 to 2 */
			theirs[i] = fcntl(theirs[i], F_DUPFD_CLOEXEC, 3);
	}
	child = fork();
	if (child < 0)
		die("fork: %s", strerror(errno));
	if (child == 0)
		become_command(command, theirs);
	for (i = 0; i < 3; i++)
		close(theirs[i]);
	return child;
}

_Noreturn void run(void)
{
	int connection = -1, null, ours[3], signals;
	struct words words;
	char *host, *rest;
	sigset_t children;
	pid_t child;

	if (words_read(STDIN_FILENO, &words) < 0)
		die("what came from the caller was not expected");
	for (host = strtok_r(words.hosts, " ", &rest); host && connection < 0;
	     host = strtok_r(NULL, " ", &rest))
		connection = call_back(host, &words);
	if (connection < 0)
		die("the caller cannot be reached from here (port %d): %s",
		    words.port4, strerror(errno));
	sigemptyset(&children);
	sigaddset(&children, SIGCHLD);
	sigprocmask(SIG_BLOCK, &children, NULL);
	signals = signalfd(-1, &children, SFD_CLOEXEC);
	if (signals < 0)
		die("signalfd: %s", strerror(errno));
	child = start(words.command, ours);
	puts("ok");
	fflush(stdout);
	null = open("/dev/null", O_RDWR);
	dup2(null, 0);
	dup2(null, 1);
	dup2(null, 2);
	if (null > 2)
		close(null);
	exit(relay(RELAY_RUNNER, connection, ours, signals, child));
}
