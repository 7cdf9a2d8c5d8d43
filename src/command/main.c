/* SPDX-License-Identifier: MIT */
/*
 * ckpt_command: asks the coordinator for one thing, waits, and tells what came
 * of it. All answers come as text for people and as data for programs.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/attach.h"
#include "util/cookie.h"
#include "util/die.h"
#include "util/meet.h"
#include "wire/peer.h"

/* For what is answered at once. Checkpoints have deadlines of their own, and
 * a coordinator that hangs without any is a bug that waiting does not hide. */
#define ANSWER_MS 60000
#define CHECKPOINT_MS (24 * 3600 * 1000)

enum exit_status {
	EXIT_DONE = 0,
	EXIT_REFUSED = 1, /* the coordinator said no: the checkpoint failed */
	/* 99, EXIT_OUR_FAILURE: no coordinator, a wrong option, a lost one */
};

enum {
	OPTION_JSON = OPTION_OWN,
	OPTION_NO_WAIT,
	OPTION_WITHOUT_LOST,
	OPTION_PRINT_COOKIE,
	OPTION_KEEP_COOKIE,
	OPTION_HELP,
	OPTION_VERSION,
};

static const struct option long_options[] = {
	UTIL_ATTACH_LONG,
	{"status", no_argument, NULL, 's'},
	{"list", no_argument, NULL, 'l'},
	{"checkpoint", no_argument, NULL, 'c'},
	{"bcheckpoint", no_argument, NULL, 'b'},
	{"kcheckpoint", no_argument, NULL, 'K'},
	{"interval", required_argument, NULL, 'i'},
	{"kill", no_argument, NULL, 'k'},
	{"quit", no_argument, NULL, 'q'},
	{"json", no_argument, NULL, OPTION_JSON},
	{"no-wait", no_argument, NULL, OPTION_NO_WAIT},
	{"without-lost", no_argument, NULL, OPTION_WITHOUT_LOST},
	{"print-cookie", no_argument, NULL, OPTION_PRINT_COOKIE},
	{"keep-cookie", no_argument, NULL, OPTION_KEEP_COOKIE},
	{"help", no_argument, NULL, OPTION_HELP},
	{"version", no_argument, NULL, OPTION_VERSION},
	{NULL, 0, NULL, 0},
};

static const char usage[] =
	"Usage: ckpt_command [OPTION...] -s|-l|-c|-bc|-kc|-i SECONDS|-k|-q\n"
	"Asks a coordinator.\n"
	"\n"
	"  -s, --status             what runs, and the newest generation\n"
	"  -l, --list               the processes\n"
	"  -c, --checkpoint         checkpoint; wait and report (-bc is the same)\n"
	"      --no-wait            ... do not wait\n"
	"      --without-lost       ... of what is left when a host was lost\n"
	"  -kc, --kcheckpoint       checkpoint, and kill all at the commit\n"
	"  -i, --interval SECONDS   checkpoint that often (0: not any more)\n"
	"  -k, --kill               kill all processes\n"
	"  -q, --quit               kill all processes and end the coordinator\n"
	"      --print-cookie       the secret that control of it needs\n"
	"\n"
	"      --json               answer with one JSON object\n"
	"  -h, --host HOST          the coordinator's host (127.0.0.1)\n"
	"  -p, --port PORT          its port (7790)\n"
	"      --port-file FILE     read the port from FILE\n"
	"      --help, --version\n"
	"\n"
	"Variables: CKPT_HOST, CKPT_PORT, CKPT_PORT_FILE, CKPT_JSON, CKPT_NO_WAIT.\n"
	"Exit status: 0 done (for -c: committed); 1 the coordinator refused or the\n"
	"checkpoint failed; 99 it could not be asked.\n";

static struct {
	enum wire_type type; /* WIRE_NONE: nothing yet */
	int kill, wait, json, cookie, without_lost;
	long seconds;
	int on_terminal; /* a line of progress stands there */
} ask = {.wait = 1};

static void ask_for(enum wire_type type)
{
	/* "-kc" and "-bc" are two letters. */
	if (ask.type == WIRE_KILL && type == WIRE_CHECKPOINT) {
		ask.kill = 1;
	} else if (ask.type != WIRE_NONE && ask.type != type) {
		die("one thing at a time; see --help");
	}
	ask.type = type;
}

static int set_flag(const char *name)
{
	const char *value = getenv(name);

	return value && *value && strcmp(value, "0");
}

static void read_options(struct util_attach *where, int argc, char **argv)
{
	int c;

	ask.json = set_flag("CKPT_JSON");
	ask.wait = !set_flag("CKPT_NO_WAIT");
	while ((c = getopt_long(argc, argv, UTIL_ATTACH_SHORT "slcbki:q",
				long_options, NULL)) != -1) {
		if (util_attach_option(where, c, optarg))
			continue;
		switch (c) {
		case 's':
			ask_for(WIRE_STATUS);
			break;
		case 'l':
			ask_for(WIRE_LIST);
			break;
		case 'b': /* ours always waits */
		case 'c':
			ask_for(WIRE_CHECKPOINT);
			break;
		case 'K':
			ask_for(WIRE_CHECKPOINT);
			ask.kill = 1;
			break;
		case 'i':
			ask.seconds = util_number("--interval", optarg, 0,
						  1000000000);
			ask_for(WIRE_INTERVAL);
			break;
		case 'k':
			ask_for(WIRE_KILL);
			break;
		case 'q':
			ask_for(WIRE_QUIT);
			break;
		case OPTION_JSON:
			ask.json = 1;
			break;
		case OPTION_NO_WAIT:
			ask.wait = 0;
			break;
		case OPTION_WITHOUT_LOST:
			ask.without_lost = 1;
			break;
		case OPTION_PRINT_COOKIE:
		case OPTION_KEEP_COOKIE:
			ask.cookie = c;
			break;
		case OPTION_HELP:
			fputs(usage, stdout);
			exit(0);
		case OPTION_VERSION:
			puts("ckpt_command " PACKAGE_VERSION);
			exit(0);
		default:
			exit(EXIT_OUR_FAILURE); /* getopt has said why */
		}
	}
	if (optind < argc)
		die("\"%s\" is too much; see --help", argv[optind]);
	if (ask.type == WIRE_NONE && !ask.cookie)
		die("say what to ask for (-s, -l, -c ...); see --help");
	if (ask.without_lost && ask.type != WIRE_CHECKPOINT)
		die("--without-lost goes with -c");
	if (ask.type == WIRE_CHECKPOINT && ask.kill && !ask.wait)
		die("-kc and --no-wait do not go together: it would not be "
		    "known whether the checkpoint was made");
}

static json_t *request(void)
{
	const char *fault = getenv("CKPT_FAULT");
	json_t *body = json_object();

	if (ask.type == WIRE_INTERVAL)
		json_object_set_new(body, "seconds", json_integer(ask.seconds));
	if (ask.type != WIRE_CHECKPOINT)
		return body;
	json_object_set_new(body, "wait", json_boolean(ask.wait));
	json_object_set_new(body, "kill", json_boolean(ask.kill));
	if (ask.without_lost)
		json_object_set_new(body, "without_lost", json_true());
	if (fault && *fault)
		json_object_set_new(body, "fault", wire_text(fault));
	return body;
}

/* One line, rewritten in place. */
static void show_progress(const json_t *body)
{
	double raw = wire_int(body, "raw", 0) / 1048576.0;
	double total = wire_int(body, "total", 0) / 1048576.0;
	double seconds = wire_int(body, "elapsed_ms", 0) / 1000.0;

	if (ask.json || !isatty(STDERR_FILENO))
		return;
	fprintf(stderr, "\r\033[K%s", wire_string(body, "phase", ""));
	if (raw > 0 && total > raw)
		fprintf(stderr, "  %.0f of %.0f MiB", raw, total);
	else if (raw > 0)
		fprintf(stderr, "  %.0f MiB", raw);
	if (raw > 0 && seconds > 0)
		fprintf(stderr, "  %.0f MiB/s", raw / seconds);
	fprintf(stderr, "  %.1f s", seconds);
	ask.on_terminal = 1;
}

static void clear_progress(void)
{
	if (ask.on_terminal)
		fputs("\r\033[K", stderr);
	ask.on_terminal = 0;
}

static int show_reply(const json_t *body)
{
	int ok = wire_bool(body, "ok", 0);
	const char *text = wire_string(body, "text", "");
	char *dump;

	clear_progress();
	if (ask.json) {
		dump = json_dumps(json_object_get(body, "data"), 0);
		printf("%s\n", dump ? dump : "{}");
		free(dump);
	} else if (ok) {
		fputs(text, stdout);
	} else {
		warn_user("%.*s", (int)strcspn(text, "\n"), text);
	}
	if (fflush(stdout) < 0 || ferror(stdout))
		die("cannot write the answer: %s", strerror(errno));
	return ok ? EXIT_DONE : EXIT_REFUSED;
}

static int await_reply(struct wire_peer *peer)
{
	int timeout = ask.type == WIRE_CHECKPOINT ? CHECKPOINT_MS : ANSWER_MS;
	enum wire_type type;
	json_t *body;
	int ret;

	for (;;) {
		ret = wire_receive(peer, &type, &body, timeout);
		if (ret < 0)
			break;
		if (type == WIRE_PROGRESS)
			show_progress(body);
		if (type == WIRE_REPLY) {
			ret = show_reply(body);
			json_decref(body);
			return ret;
		}
		json_decref(body);
	}
	clear_progress();
	if (ret == -ECONNRESET)
		die("the coordinator at %s has gone without an answer%s",
		    wire_address(peer),
		    ask.type == WIRE_CHECKPOINT
			    ? "; nothing was committed that `ckpt_image list` "
			      "does not show"
			    : "");
	die("the coordinator at %s does not answer: %s", wire_address(peer),
	    *wire_error(peer) ? wire_error(peer) : strerror(-ret));
}

/* From another host, by ssh: see util/meet.h. */
static int keep_cookie(void)
{
	char host[256], err[1024];

	if (util_meet(STDIN_FILENO, host, sizeof(host), err, sizeof(err)) < 0)
		die("%s", err);
	puts(host);
	return EXIT_DONE;
}

/* For another host, which asks by ssh. */
static int print_cookie(const struct util_attach *where)
{
	unsigned char cookie[UTIL_COOKIE_BYTES];
	char text[UTIL_COOKIE_DIGITS + 1], err[1024];
	int port = where->port > 0 ? where->port : UTIL_DEFAULT_PORT;
	int ret = util_cookie_read(where->host, port, cookie, err, sizeof(err));

	if (ret == -ENOENT)
		die("no coordinator of yours has been at %s:%d", where->host,
		    port);
	if (ret < 0)
		die("%s", err);
	util_cookie_print(cookie, text);
	puts(text);
	return EXIT_DONE;
}

int main(int argc, char **argv)
{
	struct util_attach where;
	struct wire_peer *peer;
	char err[1024];
	int ret;

	util_attach_defaults(&where);
	where.how = ATTACH_JOIN;
	read_options(&where, argc, argv);
	if (ask.cookie == OPTION_PRINT_COOKIE)
		return print_cookie(&where);
	if (ask.cookie == OPTION_KEEP_COOKIE)
		return keep_cookie();
	where.how = ATTACH_JOIN; /* there is nothing to start one for */
	peer = util_coordinator_attach(&where, ROLE_COMMAND, err, sizeof(err));
	if (!peer)
		die("%s", err);
	ret = wire_send(peer, ask.type, request());
	if (ret < 0)
		die("cannot ask the coordinator at %s: %s", wire_address(peer),
		    strerror(-ret));
	ret = await_reply(peer);
	wire_close(peer);
	return ret;
}
