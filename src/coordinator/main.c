/* SPDX-License-Identifier: MIT */
/* ckpt_coordinator: options, listening, going to the background. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "coordinator/coordinator.h"
#include "util/attach.h"
#include "util/cookie.h"
#include "util/daemon.h"
#include "util/die.h"
#include "util/log.h"
#include "util/runtime.h"

struct settings settings = {
	.port = UTIL_DEFAULT_PORT,
	.stop_ms = 60000,
	.capture_ms = 60000,
	.write_ms = 120000,
};

static struct {
	const char *bind;
	char port_file[PATH_MAX];
	char log[PATH_MAX];
	int daemon;
	int ready_fd; /* -1: none */
} options = {.bind = "127.0.0.1", .ready_fd = -1};

enum {
	OPTION_BIND = OPTION_OWN,
	OPTION_DAEMON,
	OPTION_EXIT_ON_LAST,
	OPTION_LOG,
	OPTION_READY_FD,
	OPTION_STOP_TIMEOUT,
	OPTION_CAPTURE_TIMEOUT,
	OPTION_WRITE_TIMEOUT,
	OPTION_HELP,
	OPTION_VERSION,
};

static const struct option long_options[] = {
	{"port", required_argument, NULL, 'p'},
	{"port-file", required_argument, NULL, OPTION_PORT_FILE},
	{"bind", required_argument, NULL, OPTION_BIND},
	{"ckptdir", required_argument, NULL, 'd'},
	{"interval", required_argument, NULL, 'i'},
	{"daemon", no_argument, NULL, OPTION_DAEMON},
	{"exit-on-last", no_argument, NULL, OPTION_EXIT_ON_LAST},
	{"log", required_argument, NULL, OPTION_LOG},
	{"ready-fd", required_argument, NULL, OPTION_READY_FD},
	{"stop-timeout", required_argument, NULL, OPTION_STOP_TIMEOUT},
	{"capture-timeout", required_argument, NULL, OPTION_CAPTURE_TIMEOUT},
	{"write-timeout", required_argument, NULL, OPTION_WRITE_TIMEOUT},
	{"help", no_argument, NULL, OPTION_HELP},
	{"version", no_argument, NULL, OPTION_VERSION},
	{NULL, 0, NULL, 0},
};

static const char usage[] =
	"Usage: ckpt_coordinator [OPTION...]\n"
	"Coordinates the checkpoints of one computation.\n"
	"\n"
	"  -p, --port PORT          listen there (7790; 0: any free port)\n"
	"      --port-file FILE     write the port to FILE once it listens\n"
	"      --bind ADDRESS       listen on this address (127.0.0.1)\n"
	"  -d, --ckptdir DIR        checkpoints go there\n"
	"  -i, --interval SECONDS   checkpoint that often (0: only on request)\n"
	"      --daemon             go to the background once it listens\n"
	"      --exit-on-last       end with the last process\n"
	"      --log FILE           log to FILE instead of standard error\n"
	"      --stop-timeout, --capture-timeout, --write-timeout SECONDS\n"
	"                           deadlines of the phases (60, 60, 120; write:\n"
	"                           without any progress)\n"
	"      --help, --version\n"
	"\n"
	"Each has a variable: CKPT_PORT, CKPT_PORT_FILE, CKPT_BIND, CKPT_DIR,\n"
	"CKPT_INTERVAL, CKPT_EXIT_ON_LAST, CKPT_LOG, CKPT_STOP_TIMEOUT ...\n"
	"On a terminal or a pipe it takes commands; h lists them.\n";

static void set_path(char *to, size_t size, const char *what, const char *path)
{
	char here[PATH_MAX] = "";

	/* The background has another current directory. */
	if (path[0] != '/' && !getcwd(here, sizeof(here)))
		die("%s: the current directory has no path: %s", what,
		    strerror(errno));
	if (snprintf(to, size, "%s%s%s", here, *here ? "/" : "", path) >=
	    (int)size)
		die("%s: the path is too long", what);
}

static int set_option(int option, const char *value)
{
	switch (option) {
	case 'p':
		settings.port = util_number("--port", value, 0, 65535);
		return 1;
	case OPTION_PORT_FILE:
		set_path(options.port_file, sizeof(options.port_file),
			 "--port-file", value);
		return 1;
	case OPTION_BIND:
		options.bind = value;
		return 1;
	case 'd':
		set_path(settings.dir, sizeof(settings.dir), "--ckptdir",
			 value);
		return 1;
	case 'i':
		settings.interval =
			util_number("--interval", value, 0, 1000000000);
		return 1;
	case OPTION_DAEMON:
		options.daemon = 1;
		return 1;
	case OPTION_EXIT_ON_LAST:
		settings.exit_on_last = 1;
		return 1;
	case OPTION_LOG:
		set_path(options.log, sizeof(options.log), "--log", value);
		return 1;
	case OPTION_READY_FD:
		options.ready_fd = util_number("--ready-fd", value, 0, 1 << 20);
		return 1;
	case OPTION_STOP_TIMEOUT:
		settings.stop_ms =
			1000 * util_number("--stop-timeout", value, 1, 1000000);
		return 1;
	case OPTION_CAPTURE_TIMEOUT:
		settings.capture_ms = 1000 * util_number("--capture-timeout",
							 value, 1, 1000000);
		return 1;
	case OPTION_WRITE_TIMEOUT:
		settings.write_ms = 1000 * util_number("--write-timeout", value,
						       1, 1000000);
		return 1;
	default:
		return 0;
	}
}

static void read_environment(void)
{
	static const struct {
		const char *name;
		int option;
	} variables[] = {
		{"CKPT_PORT", 'p'},
		{"CKPT_PORT_FILE", OPTION_PORT_FILE},
		{"CKPT_BIND", OPTION_BIND},
		{"CKPT_DIR", 'd'},
		{"CKPT_INTERVAL", 'i'},
		{"CKPT_LOG", OPTION_LOG},
		{"CKPT_STOP_TIMEOUT", OPTION_STOP_TIMEOUT},
		{"CKPT_CAPTURE_TIMEOUT", OPTION_CAPTURE_TIMEOUT},
		{"CKPT_WRITE_TIMEOUT", OPTION_WRITE_TIMEOUT},
	};
	const char *value;

	for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++) {
		value = getenv(variables[i].name);
		if (value && *value)
			set_option(variables[i].option, value);
	}
	value = getenv("CKPT_EXIT_ON_LAST");
	if (value && *value && strcmp(value, "0"))
		settings.exit_on_last = 1;
}

static void read_options(int argc, char **argv)
{
	int c;

	while ((c = getopt_long(argc, argv, "p:d:i:", long_options, NULL)) !=
	       -1) {
		if (c == OPTION_HELP) {
			fputs(usage, stdout);
			exit(0);
		}
		if (c == OPTION_VERSION) {
			puts("ckpt_coordinator " PACKAGE_VERSION);
			exit(0);
		}
		if (!set_option(c, optarg))
			exit(EXIT_OUR_FAILURE); /* getopt has said why */
	}
	if (optind < argc)
		die("\"%s\" is too much; see --help", argv[optind]);
}

static int listen_at(const struct addrinfo *at)
{
	int fd = socket(at->ai_family,
			SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int one = 1, ret;

	if (fd < 0)
		return -errno;
	/* A restarted one must not wait for the old connections to fade. */
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, at->ai_addr, at->ai_addrlen) < 0 || listen(fd, 128) < 0) {
		ret = -errno;
		close(fd);
		return ret;
	}
	return fd;
}

static int open_listener(void)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
				 .ai_flags = AI_PASSIVE};
	struct addrinfo *list;
	char service[8];
	int fd, ret;

	snprintf(service, sizeof(service), "%d", settings.port);
	ret = getaddrinfo(options.bind, service, &hints, &list);
	if (ret)
		die("--bind %s: %s", options.bind, gai_strerror(ret));
	fd = listen_at(list);
	freeaddrinfo(list);
	if (fd == -EADDRINUSE)
		die("port %d is in use; choose another with --port (0: any "
		    "free one)",
		    settings.port);
	if (fd < 0)
		die("cannot listen on %s port %d: %s", options.bind,
		    settings.port, strerror(-fd));
	return fd;
}

/* The port that the kernel chose, and the way by which our agents reach us. */
static void know_ourselves(int listener)
{
	struct sockaddr_storage address;
	socklen_t length = sizeof(address);
	char host[INET6_ADDRSTRLEN + 16], port[8];
	int any;

	if (getsockname(listener, (struct sockaddr *)&address, &length) < 0 ||
	    getnameinfo((struct sockaddr *)&address, length, host, sizeof(host),
			port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV))
		die("cannot tell our own address: %s", strerror(errno));
	settings.port = atoi(port);
	any = !strcmp(host, "0.0.0.0") || !strcmp(host, "::");
	snprintf(settings.address, sizeof(settings.address), "%s:%s",
		 any ? "127.0.0.1" : host, port);
	if (gethostname(settings.host, sizeof(settings.host) - 1) < 0)
		strcpy(settings.host, "localhost");
}

static void say_ready(void)
{
	char line[16];

	snprintf(line, sizeof(line), "%d\n", settings.port);
	if (options.port_file[0]) {
		int ret = util_write_file(options.port_file, line);

		if (ret < 0)
			die("cannot write %s: %s", options.port_file,
			    strerror(-ret));
	}
	if (options.ready_fd >= 0) {
		if (write(options.ready_fd, line, strlen(line)) < 0)
			log_line("whoever started us has gone");
		close(options.ready_fd);
	}
}

/* A log that stays after we have let go of standard error. */
static void open_log(void)
{
	char err[512];
	int ret;

	if (!options.log[0] && !options.daemon)
		return;
	if (!options.log[0]) {
		if (util_runtime(options.log, sizeof(options.log) - 32, err,
				 sizeof(err)) < 0)
			die("%s", err);
		strcat(options.log, "/coordinator.log");
	}
	ret = log_open(options.log);
	if (ret < 0)
		die("cannot open %s: %s", options.log, strerror(-ret));
}

/* A pipe of the caller's that we kept open would never end. */
static void close_inherited(void)
{
	int keep = options.ready_fd < 3 ? 2 : options.ready_fd;

	if (keep > 3)
		close_range(3, keep - 1, 0);
	close_range(keep + 1, ~0u, 0);
}

int main(int argc, char **argv)
{
	char err[512];
	int listener;

	read_environment();
	read_options(argc, argv);
	if (options.daemon)
		close_inherited();
	listener = open_listener();
	know_ourselves(listener);
	if (util_cookie_make(settings.port, settings.cookie, err, sizeof(err)) <
	    0)
		die("%s", err);
	unsetenv("CKPT_COOKIE"); /* agents find it where we keep it */
	open_log();
	/* Who connects from now on is served when we have gone to the
	 * background; until then errors reach the user. */
	say_ready();
	if (options.daemon) {
		util_daemonize();
		util_default_signals();
	}
	log_line("coordinator (pid %d) listens on %s port %d", (int)getpid(),
		 options.bind, settings.port);
	computation_take_up();
	return loop_run(listener) < 0 ? EXIT_OUR_FAILURE : 0;
}
