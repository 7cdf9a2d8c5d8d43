/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "util/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "util/die.h"

void util_default_signals(void)
{
	sigset_t none;

	for (int number = 1; number < NSIG; number++)
		signal(number, SIG_DFL); /* refused for some: fine */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static void null_streams(int also_error)
{
	int fd = open("/dev/null", O_RDWR);

	if (fd < 0)
		return;
	dup2(fd, STDIN_FILENO);
	dup2(fd, STDOUT_FILENO);
	if (also_error)
		dup2(fd, STDERR_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
}

void util_daemonize(void)
{
	pid_t pid = fork();

	if (pid < 0)
		die("cannot go to the background: %s", strerror(errno));
	if (pid)
		_exit(0);
	setsid();
	null_streams(1);
	if (chdir("/") < 0)
		return; /* only keeps a file system busy */
}

/* In the grandchild. Never returns; errors go to the log, like the daemon's. */
static void become(const char *path, char *const argv[], int log_fd, int ready)
{
	int fd;

	util_default_signals();
	/* Out of the way of 0 to 3 first. */
	ready = fcntl(ready, F_DUPFD, 16);
	log_fd = fcntl(log_fd, F_DUPFD, 16);
	null_streams(0);
	dup2(log_fd, STDERR_FILENO);
	dup2(ready, UTIL_READY_FD);
	if (close_range(UTIL_READY_FD + 1, ~0u, 0) < 0)
		for (fd = UTIL_READY_FD + 1; fd < 65536; fd++)
			close(fd);
	unsetenv("LD_PRELOAD");
	unsetenv("CKPT_GROUP_DIR");
	unsetenv("CKPT_COORDINATOR");
	unsetenv("CKPT_COMPUTATION");
	unsetenv("CKPT_REMOTE");
	if (chdir("/") < 0)
		_exit(EXIT_OUR_FAILURE);
	execv(path, argv);
	dprintf(STDERR_FILENO, "cannot start %s: %s\n", path, strerror(errno));
	_exit(EXIT_OUR_FAILURE);
}

/*
 * A child in between that ends at once: the daemon must not show up among the
 * children of the program that ckpt_launch becomes. Nor may a SIGCHLD be left
 * pending for that, or an ignored one keep us from waiting: this child has no
 * exit signal at all.
 */
static int start(const char *path, char *const argv[], int log_fd, int ready)
{
	pid_t child = syscall(SYS_clone, 0, NULL, NULL, NULL, NULL);
	int status;

	if (child < 0)
		return -errno;
	if (!child) {
		setsid();
		child = fork();
		if (!child)
			become(path, argv, log_fd, ready);
		_exit(child < 0 ? errno & 0x7f : 0);
	}
	while (waitpid(child, &status, __WALL) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO;
}

/* 0, -ETIMEDOUT, or -EPIPE: it has ended without a line. */
static int await_line(int fd, int timeout_ms, char *line, size_t size)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};
	struct timespec from, now;
	size_t length = 0;
	ssize_t n;
	int left, ret;

	clock_gettime(CLOCK_MONOTONIC, &from);
	while (length + 1 < size) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		left = timeout_ms - (now.tv_sec - from.tv_sec) * 1000 -
		       (now.tv_nsec - from.tv_nsec) / 1000000;
		ret = poll(&pfd, 1, left > 0 ? left : 0);
		if (ret < 0 && errno != EINTR)
			return -errno;
		if (!ret)
			return -ETIMEDOUT;
		if (ret < 0)
			continue;
		n = read(fd, line + length, 1);
		if (n <= 0)
			return -EPIPE;
		if (line[length] == '\n')
			break;
		length++;
	}
	line[length] = '\0';
	return 0;
}

/* The last line that has come to the log since `from`. */
static void last_words(int fd, off_t from, char *line, size_t size)
{
	char text[2048];
	ssize_t n;
	char *end, *begin;
	off_t all = lseek(fd, 0, SEEK_END);

	if (all - from > (off_t)sizeof(text) - 1)
		from = all - (sizeof(text) - 1);
	n = pread(fd, text, sizeof(text) - 1, from);
	if (n <= 0)
		return;
	for (end = text + n; end > text && end[-1] == '\n'; end--)
		;
	*end = '\0';
	begin = memrchr(text, '\n', end - text);
	snprintf(line, size, "%s", begin ? begin + 1 : text);
}

int util_start_daemon(const char *path, char *const argv[], const char *log,
		      int timeout_ms, char *line, size_t size)
{
	int ready[2] = {-1, -1}, log_fd = -1, ret;
	off_t from;

	line[0] = '\0';
	if (log)
		log_fd = open(log,
			      O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC |
				      O_NOFOLLOW,
			      0600);
	else
		log_fd = memfd_create("words", MFD_CLOEXEC);
	if (log_fd < 0) {
		ret = -errno;
		snprintf(line, size, "cannot open %s: %s", log ? log : "a log",
			 strerror(-ret));
		return ret;
	}
	from = lseek(log_fd, 0, SEEK_END);
	if (timeout_ms == 0) { /* it may say so, and nobody listens */
		ret = ready[1] = open("/dev/null", O_WRONLY | O_CLOEXEC);
		if (ret >= 0)
			ret = start(path, argv, log_fd, ready[1]);
		if (ready[1] >= 0)
			close(ready[1]);
		if (ret < 0)
			snprintf(line, size, "%s", strerror(-ret));
		goto out;
	}
	if (pipe2(ready, O_CLOEXEC) < 0) {
		ret = -errno;
		snprintf(line, size, "%s", strerror(-ret));
		goto out;
	}
	ret = start(path, argv, log_fd, ready[1]);
	close(ready[1]);
	if (ret < 0) {
		snprintf(line, size, "%s", strerror(-ret));
		goto out;
	}
	ret = await_line(ready[0], timeout_ms, line, size);
	if (ret == -ETIMEDOUT)
		snprintf(line, size, "it is not ready after %d s%s%s",
			 timeout_ms / 1000, log ? "; see " : "",
			 log ? log : "");
	else if (ret < 0) {
		snprintf(line, size, "it has ended at once");
		last_words(log_fd, from, line, size);
	}
	close(ready[0]);
out:
	close(log_fd);
	return ret;
}
