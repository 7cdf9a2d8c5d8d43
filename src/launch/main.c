/* SPDX-License-Identifier: MIT */
/*
 * ckpt_launch: finds or starts a coordinator and an agent, sets the
 * environment and becomes the program. Nothing of us is left in it: same pid,
 * no descriptor, no child, signals and limits as they were.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "launch/preload.h"
#include "launch/program.h"
#include "util/attach.h"
#include "util/daemon.h"
#include "util/die.h"
#include "util/paths.h"
#include "util/runtime.h"

#define AGENT_MS 20000
#define JOIN_TRIES 10
#define PATIENCE_MS 3000 /* then we say what we wait for */
#define ERR_SIZE 2048

static struct {
	char dir[PATH_MAX]; /* absolute */
	int dir_given;
	int interval;
	const char *compress, *files;
	int sync, keep, threads, ignore_foreign;
	const char *plugins;
} options = {.keep = 2};

enum {
	OPTION_COMPRESS = OPTION_OWN,
	OPTION_FILES,
	OPTION_SYNC,
	OPTION_KEEP,
	OPTION_THREADS,
	OPTION_WITH_PLUGIN,
	OPTION_IGNORE_FOREIGN,
	OPTION_HELP,
	OPTION_VERSION,
};

static const struct option long_options[] = {
	UTIL_ATTACH_LONG,
	{"ckptdir", required_argument, NULL, 'd'},
	{"interval", required_argument, NULL, 'i'},
	{"compress", required_argument, NULL, OPTION_COMPRESS},
	{"files", required_argument, NULL, OPTION_FILES},
	{"sync", no_argument, NULL, OPTION_SYNC},
	{"keep", required_argument, NULL, OPTION_KEEP},
	{"threads", required_argument, NULL, OPTION_THREADS},
	{"with-plugin", required_argument, NULL, OPTION_WITH_PLUGIN},
	{"ignore-foreign", no_argument, NULL, OPTION_IGNORE_FOREIGN},
	{"help", no_argument, NULL, OPTION_HELP},
	{"version", no_argument, NULL, OPTION_VERSION},
	{NULL, 0, NULL, 0},
};

static const char usage[] =
	"Usage: ckpt_launch [OPTION...] [--] PROGRAM [ARGUMENT...]\n"
	"Runs PROGRAM so that it can be checkpointed.\n"
	"\n"
	"  -h, --host HOST          the coordinator's host (127.0.0.1)\n"
	"  -p, --port PORT          its port (7790; 0: any, for a new one)\n"
	"      --port-file FILE     read the port from FILE; a new one writes it\n"
	"      --any-coordinator    use the one that runs, else start one (default)\n"
	"  -j, --join               only one that runs\n"
	"      --new-coordinator    start one, at a free port unless -p is given\n"
	"      --bind ADDRESS       where a new one listens (127.0.0.1)\n"
	"\n"
	"For the first program of a computation:\n"
	"  -d, --ckptdir DIR        checkpoints go there (.)\n"
	"  -i, --interval SECONDS   checkpoint that often\n"
	"      --compress HOW       lz4, none or auto (auto: where it gains)\n"
	"      --files HOW          what a restart does with files that were open\n"
	"                           for writing: rollback (default) or reopen\n"
	"      --sync               write while the program stands still\n"
	"      --keep N             generations to keep (2; 0: all)\n"
	"      --threads N          to compress and write with (0: all CPUs)\n"
	"      --with-plugin F[:F]  shared objects that save more kinds of things\n"
	"      --ignore-foreign     do not refuse for children that cannot be saved\n"
	"      --help, --version\n"
	"\n"
	"Each has a variable: CKPT_HOST, CKPT_PORT, CKPT_PORT_FILE, CKPT_DIR,\n"
	"CKPT_INTERVAL, CKPT_COMPRESS, CKPT_FILES, CKPT_SYNC, CKPT_KEEP ...\n"
	"Exit status: the program's; 99 when it could not be started.\n";

static const char *one_of(const char *what, const char *value,
			  const char *const allowed[])
{
	for (; *allowed; allowed++)
		if (!strcmp(value, *allowed))
			return *allowed;
	die("%s: \"%s\" is not known; see --help", what, value);
}

static void set_dir(const char *path)
{
	char here[PATH_MAX] = "";

	if (path[0] != '/' && !getcwd(here, sizeof(here)))
		die("the current directory has no path (%s); say -d DIR with "
		    "an absolute one",
		    strerror(errno));
	if (!strcmp(path, "."))
		path = "";
	if (snprintf(options.dir, sizeof(options.dir), "%s%s%s", here,
		     *here && *path ? "/" : "",
		     path) >= (int)sizeof(options.dir))
		die("-d: the path is too long");
}

static int set_option(int option, const char *value)
{
	switch (option) {
	case 'd':
		set_dir(value);
		options.dir_given = 1;
		return 1;
	case 'i':
		options.interval =
			util_number("--interval", value, 0, 1000000000);
		return 1;
	case OPTION_COMPRESS:
		options.compress = one_of(
			"--compress", value,
			(const char *const[]){"lz4", "none", "auto", NULL});
		return 1;
	case OPTION_FILES:
		options.files = one_of(
			"--files", value,
			(const char *const[]){"rollback", "reopen", NULL});
		return 1;
	case OPTION_SYNC:
		options.sync = !value || strcmp(value, "0");
		return 1;
	case OPTION_KEEP:
		options.keep = util_number("--keep", value, 0, 1000000);
		return 1;
	case OPTION_THREADS:
		options.threads = util_number("--threads", value, 0, 1024);
		return 1;
	case OPTION_WITH_PLUGIN:
		options.plugins = value;
		return 1;
	case OPTION_IGNORE_FOREIGN:
		options.ignore_foreign = !value || strcmp(value, "0");
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
		{"CKPT_DIR", 'd'},
		{"CKPT_INTERVAL", 'i'},
		{"CKPT_COMPRESS", OPTION_COMPRESS},
		{"CKPT_FILES", OPTION_FILES},
		{"CKPT_SYNC", OPTION_SYNC},
		{"CKPT_KEEP", OPTION_KEEP},
		{"CKPT_THREADS", OPTION_THREADS},
		{"CKPT_WITH_PLUGIN", OPTION_WITH_PLUGIN},
		{"CKPT_IGNORE_FOREIGN", OPTION_IGNORE_FOREIGN},
	};
	const char *value;

	for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++) {
		value = getenv(variables[i].name);
		if (value && *value)
			set_option(variables[i].option, value);
	}
}

/* The index of the program in argv: the first word that is no option. */
static int read_options(struct util_attach *where, int argc, char **argv)
{
	int c;

	while ((c = getopt_long(argc, argv, "+" UTIL_ATTACH_SHORT "d:i:",
				long_options, NULL)) != -1) {
		if (c == OPTION_HELP) {
			fputs(usage, stdout);
			exit(0);
		}
		if (c == OPTION_VERSION) {
			puts("ckpt_launch " PACKAGE_VERSION);
			exit(0);
		}
		if (!util_attach_option(where, c, optarg) &&
		    !set_option(c, optarg))
			exit(EXIT_OUR_FAILURE); /* getopt has said why */
	}
	if (optind >= argc)
		die("which program? See --help");
	return optind;
}

/* ---- the coordinator ---- */

static json_t *join_body(const char *program)
{
	char host[256] = "";
	json_t *choices =
		json_pack("{s:i, s:i, s:b, s:b}", "keep", options.keep,
			  "threads", options.threads, "sync", options.sync,
			  "ignore_foreign", options.ignore_foreign);

	if (options.compress)
		json_object_set_new(choices, "compress",
				    json_string(options.compress));
	if (options.files)
		json_object_set_new(choices, "files",
				    json_string(options.files));
	gethostname(host, sizeof(host) - 1);
	return json_pack("{s:s, s:o, s:o, s:s, s:b, s:i, s:i, s:o}", "role",
			 "launch", "host", wire_text(host), "program",
			 wire_text(program), "dir", options.dir, "dir_given",
			 options.dir_given, "interval", options.interval, "pid",
			 (int)getpid(), "options", choices);
}

/* The answer comes when no checkpoint is under way. NULL: the coordinator was
 * just ending, with the computation before. */
static json_t *await_joined(struct wire_peer *peer)
{
	enum wire_type type;
	json_t *body;
	int ret = wire_receive(peer, &type, &body, PATIENCE_MS);

	if (ret == -ETIMEDOUT) {
		warn_user("waiting until the checkpoint or restart that is "
			  "under way is over");
		ret = wire_receive(peer, &type, &body, -1);
	}
	if (ret == -ECONNRESET)
		return NULL;
	if (ret < 0)
		die("the coordinator at %s has not let us in: %s",
		    wire_address(peer),
		    *wire_error(peer) ? wire_error(peer) : strerror(-ret));
	if (type == WIRE_JOINED)
		return body;
	die("the coordinator at %s refuses: %s", wire_address(peer),
	    wire_string(body, "text", wire_name(type)));
}

/* 0, or -ECONNRESET: see await_joined(). */
static int join(struct wire_peer *peer, const char *program,
		char computation[40])
{
	json_t *body = join_body(program);
	const char *dir;

	if (!body)
		die("the directory for checkpoints has a name that is not "
		    "UTF-8; choose another with -d");
	if (wire_send(peer, WIRE_JOIN, body) < 0)
		return -ECONNRESET;
	body = await_joined(peer);
	if (!body)
		return -ECONNRESET;
	snprintf(computation, 40, "%s", wire_string(body, "computation", ""));
	if (!*computation)
		die("the coordinator at %s names no computation",
		    wire_address(peer));
	dir = wire_string(body, "dir", options.dir);
	if (options.dir_given && strcmp(dir, options.dir))
		warn_user("note: this computation has its checkpoints in %s",
			  dir);
	json_decref(body);
	return 0;
}

/* where says then where it is. The connection stays until exec closes it: as
 * long as it is there the coordinator waits for our agent. */
static void enter_computation(struct util_attach *where, const char *program,
			      char computation[40])
{
	struct util_attach wanted = *where;
	struct wire_peer *peer;
	char err[ERR_SIZE];

	for (int tries = 0; tries < JOIN_TRIES; tries++) {
		*where = wanted;
		peer = util_coordinator_attach(where, ROLE_LAUNCH, err,
					       sizeof(err));
		if (!peer)
			die("%s", err);
		if (join(peer, program, computation) == 0)
			return;
		wire_close(peer);
	}
	die("the coordinator at %s:%d ends again and again", where->host,
	    where->port);
}

/* ---- the agent ---- */

static void start_agent(const char *group_dir, const char *coordinator,
			const char *computation)
{
	char path[PATH_MAX], line[1024], pid[16];
	char *argv[] = {"ckpt_agent",
			"--group-dir",
			(char *)group_dir,
			"--coordinator",
			(char *)coordinator,
			"--computation",
			(char *)computation,
			"--for-pid",
			pid,
			"--ready-fd",
			"3",
			NULL};

	if (util_find_program("ckpt_agent", path, sizeof(path)) < 0)
		die("ckpt_agent is not where we are installed: install ckpt "
		    "again");
	/* It stays until this pid, soon the program's, has come or died. When
	 * the group has one, this one tells it so and ends. */
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	if (util_start_daemon(path, argv, NULL, AGENT_MS, line, sizeof(line)) <
	    0)
		die("cannot start ckpt_agent: %s", line);
}

/* ---- the environment ---- */

static void set_variable(const char *name, const char *value)
{
	if (setenv(name, value, 1) < 0)
		die("out of memory");
}

/* Plugins are preloaded as well, so that their constructors find us there. */
static char *plugin_list(void)
{
	char *list = NULL, *copy, *entry, *rest, *absolute;
	char path[PATH_MAX], err[ERR_SIZE];
	size_t size;
	FILE *out;

	if (!options.plugins)
		return NULL;
	out = open_memstream(&list, &size);
	copy = strdup(options.plugins);
	if (!out || !copy)
		die("out of memory");
	for (entry = strtok_r(copy, ":", &rest); entry;
	     entry = strtok_r(NULL, ":", &rest)) {
		absolute = realpath(entry, NULL);
		if (!absolute)
			die("--with-plugin %s: %s", entry, strerror(errno));
		if (preload_path(absolute, path, sizeof(path), err,
				 sizeof(err)) < 0)
			die("--with-plugin: %s", err);
		fprintf(out, "%s%s", ftell(out) ? ":" : "", path);
		free(absolute);
	}
	free(copy);
	fclose(out);
	return list;
}

/* A program with gcc's AddressSanitizer refuses to run behind any preloaded
 * library unless told that this is meant. */
static void set_sanitizer(void)
{
	const char *had = getenv("ASAN_OPTIONS");
	char *options;

	if (had && strstr(had, "verify_asan_link_order"))
		return;
	if (asprintf(&options, "%s%sverify_asan_link_order=0", had ? had : "",
		     had && *had ? ":" : "") < 0)
		die("out of memory");
	set_variable("ASAN_OPTIONS", options);
	free(options);
}

static void set_environment(const char *library, const char *plugins,
			    const char *group_dir, const char *coordinator,
			    const char *computation)
{
	char *preload = preload_value(library, plugins, getenv("LD_PRELOAD"));
	char remote[PATH_MAX];

	if (!preload)
		die("out of memory");
	set_variable("LD_PRELOAD", preload);
	set_sanitizer();
	set_variable("CKPT_GROUP_DIR", group_dir);
	set_variable("CKPT_COORDINATOR", coordinator);
	set_variable("CKPT_COMPUTATION", computation);
	if (util_find_program("ckpt_remote", remote, sizeof(remote)) == 0)
		set_variable("CKPT_REMOTE", remote);
	free(preload);
}

/* As execvp(): what the kernel does not know is the shell's. */
static void become(const char *path, char **argv, int argc)
{
	char **shell;

	execv(path, argv);
	if (errno == ENOEXEC) {
		shell = calloc(argc + 2, sizeof(*shell));
		if (shell) {
			shell[0] = "/bin/sh";
			shell[1] = (char *)path;
			memcpy(shell + 2, argv + 1, argc * sizeof(*shell));
			execv("/bin/sh", shell);
		}
	}
	die("cannot execute %s: %s", path, strerror(errno));
}

int main(int argc, char **argv)
{
	struct util_attach where;
	char path[PATH_MAX], library[PATH_MAX], group_dir[PATH_MAX];
	char computation[40], coordinator[300], err[ERR_SIZE];
	char *plugins;
	size_t length;
	int at;

	util_attach_defaults(&where);
	read_environment();
	at = read_options(&where, argc, argv);
	argv += at;
	argc -= at;
	if (!options.dir[0])
		set_dir(".");

	/* All that can be wrong with the program, before anything starts. */
	if (program_find(argv[0], path, sizeof(path), err, sizeof(err)) < 0 ||
	    program_check(path, err, sizeof(err)) < 0 ||
	    preload_library(library, sizeof(library), err, sizeof(err)) < 0)
		die("%s", err);
	plugins = plugin_list();

	if (options.dir_given)
		snprintf(where.dir, sizeof(where.dir), "%s", options.dir);
	enter_computation(&where, argv[0], computation);
	snprintf(coordinator, sizeof(coordinator), "%s:%d", where.host,
		 where.port);

	if (util_runtime(group_dir, sizeof(group_dir), err, sizeof(err)) < 0)
		die("%s", err);
	length = strlen(group_dir);
	snprintf(group_dir + length, sizeof(group_dir) - length, "/%s-%lu",
		 computation, util_host_group());
	start_agent(group_dir, coordinator, computation);
	set_environment(library, plugins, group_dir, coordinator, computation);
	become(path, argv, argc);
}
