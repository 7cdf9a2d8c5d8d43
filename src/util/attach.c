/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "util/attach.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "util/cookie.h"
#include "util/daemon.h"
#include "util/die.h"
#include "util/paths.h"
#include "util/runtime.h"

#define START_MS 20000

long util_number(const char *what, const char *text, long low, long high)
{
	char *end;
	long number;

	errno = 0;
	number = strtol(text, &end, 10);
	if (errno || end == text || *end || number < low || number > high)
		die("%s: \"%s\" is not a whole number from %ld to %ld", what,
		    text, low, high);
	return number;
}

static void copy(char *to, size_t size, const char *what, const char *text)
{
	if (strlen(text) >= size)
		die("%s is too long", what);
	strcpy(to, text);
}

/* "HOST:PORT", "PORT": as in CKPT_COORDINATOR and in port files. */
static int parse_place(const char *text, char *host, size_t size, int *port)
{
	const char *colon = strrchr(text, ':');
	const char *digits = colon ? colon + 1 : text;
	char *end;
	long number = strtol(digits, &end, 10);

	if (end == digits || *end || number < 1 || number > 65535)
		return -EINVAL;
	if (colon && colon != text && (size_t)(colon - text) < size) {
		memcpy(host, text, colon - text);
		host[colon - text] = '\0';
	}
	*port = number;
	return 0;
}

void util_attach_defaults(struct util_attach *where)
{
	const char *text;

	memset(where, 0, sizeof(*where));
	strcpy(where->host, "127.0.0.1");
	where->port = -1;
	where->exit_on_last = 1;
	/* Inside a launched program its own coordinator is meant. */
	text = getenv("CKPT_COORDINATOR");
	if (text && *text)
		parse_place(text, where->host, sizeof(where->host),
			    &where->port);
	text = getenv("CKPT_HOST");
	if (text && *text)
		copy(where->host, sizeof(where->host), "CKPT_HOST", text);
	text = getenv("CKPT_PORT_FILE");
	if (text && *text)
		util_attach_option(where, OPTION_PORT_FILE, text);
	text = getenv("CKPT_PORT");
	if (text && *text)
		where->port = util_number("CKPT_PORT", text, 0, 65535);
}

int util_attach_option(struct util_attach *where, int option, const char *value)
{
	switch (option) {
	case OPTION_HOST:
		copy(where->host, sizeof(where->host), "--host", value);
		return 1;
	case OPTION_PORT:
		where->port = util_number("--port", value, 0, 65535);
		return 1;
	case OPTION_PORT_FILE:
		/* A port from the environment is older than this file. */
		copy(where->port_file, sizeof(where->port_file), "--port-file",
		     value);
		where->port = -1;
		return 1;
	case OPTION_ATTACH_BIND:
		copy(where->bind, sizeof(where->bind), "--bind", value);
		return 1;
	case OPTION_JOIN:
		where->how = ATTACH_JOIN;
		return 1;
	case OPTION_NEW_COORDINATOR:
		where->how = ATTACH_NEW;
		return 1;
	case OPTION_ANY_COORDINATOR:
		where->how = ATTACH_ANY;
		return 1;
	default:
		return 0;
	}
}

/* Where a cookie may come from, one after the other. */
static int cookie_from(int source, const char *host, int port,
		       unsigned char *cookie, char *err, size_t errsize)
{
	switch (source) {
	case 0:
		return util_cookie_read(host, port, cookie, err, errsize);
	case 1: /* it may be this host's name */
		return util_cookie_read("localhost", port, cookie, err,
					errsize);
	default:
		return util_cookie_fetch(host, port, cookie, err, errsize);
	}
}

/* What has been given or fetched our agent has to know as well, and nothing
 * that is launched needs it. */
static void keep_cookie(const char *host, int port, unsigned char *cookie,
			int fetched)
{
	char why[256];

	if ((fetched || getenv("CKPT_COOKIE")) &&
	    util_cookie_keep(host, port, cookie, why, sizeof(why)) < 0)
		warn_user("%s", why);
	unsetenv("CKPT_COOKIE");
}

static struct wire_peer *try_port(struct util_attach *where, int port,
				  enum wire_role role, char *err,
				  size_t errsize)
{
	unsigned char cookie[UTIL_COOKIE_BYTES];
	int sources = util_is_local(where->host) || getenv("CKPT_COOKIE") ? 1 : 3;
	struct wire_peer *peer = NULL;
	int source, ret = -ENOENT;

	for (source = 0; source < sources && !peer; source++) {
		ret = cookie_from(source, where->host, port, cookie, err,
				  errsize);
		if (ret == -ENOENT) {
			snprintf(err, errsize,
				 "no coordinator of yours has been at "
				 "%s:%d (no cookie for it)",
				 where->host, port);
			continue;
		}
		if (ret < 0)
			break;
		peer = wire_connect(where->host, port, cookie, role,
				    UTIL_CONNECT_MS, err, errsize);
		ret = peer ? 0 : -errno;
		if (peer)
			keep_cookie(where->host, port, cookie, source == 2);
		else if (ret != -EACCES)
			break;
	}
	if (peer)
		where->port = port;
	explicit_bzero(cookie, sizeof(cookie));
	errno = -ret;
	return peer;
}

/* The port that a file names: 0 and the port, -ENOENT. */
static int read_port_file(struct util_attach *where, const char *path,
			  int *port)
{
	char line[300];
	int ret = util_read_line(path, line, sizeof(line));

	if (ret < 0)
		return ret;
	return parse_place(line, where->host, sizeof(where->host), port);
}

/* Where the default coordinator went when somebody else had its port. */
static int default_port_file(char *path, size_t size, char *err, size_t errsize)
{
	int ret = util_runtime(path, size, err, errsize);
	size_t length = strlen(path);

	if (ret < 0)
		return ret;
	snprintf(path + length, size - length, "/default-port");
	return 0;
}

static struct wire_peer *find(struct util_attach *where, enum wire_role role,
			      char *err, size_t errsize)
{
	struct wire_peer *peer;
	char path[PATH_MAX];
	int port, ret;

	if (where->port == 0) {
		snprintf(err, errsize,
			 "port 0 (any) is for a new coordinator; "
			 "say which port to join");
		errno = ENOENT;
		return NULL;
	}
	if (where->port > 0)
		return try_port(where, where->port, role, err, errsize);
	if (where->port_file[0]) {
		ret = read_port_file(where, where->port_file, &port);
		if (ret == 0)
			return try_port(where, port, role, err, errsize);
		snprintf(err, errsize, "cannot read a port from %s: %s",
			 where->port_file, strerror(-ret));
		errno = ENOENT;
		return NULL;
	}
	ret = default_port_file(path, sizeof(path), err, errsize);
	if (ret < 0) {
		errno = -ret;
		return NULL;
	}
	if (util_is_local(where->host) && read_port_file(where, path, &port) == 0) {
		peer = try_port(where, port, role, err, errsize);
		if (peer)
			return peer;
	}
	return try_port(where, UTIL_DEFAULT_PORT, role, err, errsize);
}

/* Runs ckpt_coordinator --daemon; where->port becomes its port. */
static int start_at(struct util_attach *where, int port, const char *port_file,
		    char *err, size_t errsize)
{
	char path[PATH_MAX], log[PATH_MAX], port_text[8], interval[16];
	char line[1024], host[256];
	char *argv[24];
	int n = 0, ret;

	ret = util_find_program("ckpt_coordinator", path, sizeof(path));
	if (ret < 0) {
		snprintf(err, errsize,
			 "ckpt_coordinator is not where we are "
			 "installed");
		return ret;
	}
	ret = util_runtime(log, sizeof(log), err, errsize);
	if (ret < 0)
		return ret;
	strcat(log, "/coordinator.log");
	snprintf(port_text, sizeof(port_text), "%d", port);
	snprintf(interval, sizeof(interval), "%d", where->interval);
	argv[n++] = "ckpt_coordinator";
	argv[n++] = "--ready-fd";
	argv[n++] = "3";
	argv[n++] = "--port";
	argv[n++] = port_text;
	if (port_file && *port_file) {
		argv[n++] = "--port-file";
		argv[n++] = (char *)port_file;
	}
	if (where->dir[0]) {
		argv[n++] = "--ckptdir";
		argv[n++] = where->dir;
	}
	if (where->bind[0]) {
		argv[n++] = "--bind";
		argv[n++] = where->bind;
	}
	if (where->interval > 0) {
		argv[n++] = "--interval";
		argv[n++] = interval;
	}
	if (where->exit_on_last)
		argv[n++] = "--exit-on-last";
	argv[n] = NULL;
	ret = util_start_daemon(path, argv, log, START_MS, line, sizeof(line));
	if (ret == 0)
		ret = parse_place(line, host, sizeof(host), &where->port);
	if (ret < 0)
		snprintf(err, errsize, "cannot start a coordinator: %.400s",
			 line);
	return ret;
}

/* Relative to where the user stands, not to the daemon's "/". */
static int absolute(const char *path, char *whole, size_t size)
{
	char here[PATH_MAX];

	if (path[0] == '/' || !path[0])
		return snprintf(whole, size, "%s", path) < (int)size
			       ? 0
			       : -ENAMETOOLONG;
	if (!getcwd(here, sizeof(here)))
		return -errno;
	return snprintf(whole, size, "%s/%s", here, path) < (int)size
		       ? 0
		       : -ENAMETOOLONG;
}

static int start(struct util_attach *where, char *err, size_t errsize)
{
	char port_file[PATH_MAX + 256], default_file[PATH_MAX];
	int ret = absolute(where->port_file, port_file, sizeof(port_file));

	if (ret < 0) {
		snprintf(err, errsize, "--port-file: %s", strerror(-ret));
		return ret;
	}
	if (!util_is_local(where->host)) {
		snprintf(err + strlen(err), errsize - strlen(err),
			 "; start one on that host");
		return -EHOSTUNREACH;
	}
	if (where->port >= 0)
		return start_at(where, where->port, port_file, err, errsize);
	if (where->how == ATTACH_NEW || port_file[0])
		return start_at(where, 0, port_file, err, errsize);
	ret = start_at(where, UTIL_DEFAULT_PORT, NULL, err, errsize);
	if (ret == 0)
		return 0;
	/* Another user's coordinator, or another program, has that port. */
	ret = default_port_file(default_file, sizeof(default_file), err,
				errsize);
	if (ret < 0)
		return ret;
	return start_at(where, 0, default_file, err, errsize);
}

/* Two launches at once shall find one coordinator, not start two. */
static int lock_starting(char *err, size_t errsize)
{
	char path[PATH_MAX];
	int fd, ret = util_runtime(path, sizeof(path), err, errsize);

	if (ret < 0)
		return ret;
	strcat(path, "/start.lock");
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0) {
		ret = -errno;
		snprintf(err, errsize, "cannot open %s: %s", path,
			 strerror(-ret));
		return ret;
	}
	while (flock(fd, LOCK_EX) < 0)
		if (errno != EINTR)
			break;
	return fd;
}

/* Is it worth while to start one, after find() has failed with this? */
static int nobody_there(const struct util_attach *where, int error)
{
	if (error == ENOENT || error == ECONNREFUSED)
		return 1;
	/* The default port may be anybody's; we can go elsewhere. */
	return where->port < 0 && util_is_local(where->host) &&
	       (error == EACCES || error == EPROTO || error == ECONNRESET ||
		error == ETIMEDOUT);
}

struct wire_peer *util_coordinator_attach(struct util_attach *where,
					  enum wire_role role, char *err,
					  size_t errsize)
{
	struct wire_peer *peer = NULL;
	int lock;

	err[0] = '\0';
	if (where->how != ATTACH_NEW) {
		peer = find(where, role, err, errsize);
		/* Cut off: it was just about to end. Look again. */
		if (!peer && errno == ECONNRESET)
			peer = find(where, role, err, errsize);
		if (peer || where->how == ATTACH_JOIN ||
		    (!nobody_there(where, errno) && errno != ECONNRESET))
			return peer;
	}
	lock = lock_starting(err, errsize);
	if (lock < 0)
		return NULL;
	errno = ENOENT;
	if (where->how != ATTACH_NEW)
		peer = find(where, role, err, errsize);
	if (!peer && nobody_there(where, errno) &&
	    start(where, err, errsize) == 0) {
		where->started = 1;
		peer = try_port(where, where->port, role, err, errsize);
	}
	close(lock);
	return peer;
}
