/* SPDX-License-Identifier: MIT */
/* The command line. What the user did not give comes from CKPT_ variables. */
#define _GNU_SOURCE
#include "restart/options.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "restart/say.h"

static const char help[] =
	"Usage: ckpt_restart [OPTION]... [DIR]\n"
	"Restart a program from a checkpoint. DIR is the checkpoint directory (the newest\n"
	"computation in it is taken), a computation's folder or one generation; it\n"
	"defaults to $CKPT_DIR, then to the current directory.\n"
	"\n"
	"  -h, --host HOST         where the coordinator is (CKPT_HOST; 127.0.0.1)\n"
	"  -p, --port PORT         its port (CKPT_PORT; 7790)\n"
	"      --port-file FILE    read the port from FILE, or write that of a new one\n"
	"  -j, --join              it must be there already\n"
	"      --new-coordinator   start one\n"
	"      --bind ADDRESS      where a new one listens (CKPT_BIND; 127.0.0.1)\n"
	"      --any-coordinator   use it if it is idle, else start one (default)\n"
	"      --generation N      not the newest checkpoint, but this one\n"
	"      --files MODE        rollback (default): files that were open for writing get\n"
	"                          their content back, what is there now is set aside;\n"
	"                          reopen: they stay as they are (CKPT_FILES)\n"
	"  -d, --ckptdir DIR       where further checkpoints go\n"
	"  -i, --interval SECONDS  checkpoint that often (CKPT_INTERVAL)\n"
	"      --capsule WHEN      auto (default), always or never (CKPT_CAPSULE)\n"
	"      --hosts A,B,...     spread the host groups over these hosts, by ssh\n"
	"      --hostfile FILE     ... over those that FILE names, one a line\n"
	"      --map OLD=NEW       what ran on host OLD goes to host NEW\n"
	"      --group N           one host group only, for srun or pdsh: the program runs\n"
	"                          when all groups have come to the coordinator\n"
	"      --lazy              run at once; uncompressed memory is read from the image\n"
	"                          when the program touches it (CKPT_LAZY)\n"
	"      --no-verify         do not check every block before the start\n"
	"      --quiet             say nothing but errors\n"
	"      --help, --version\n"
	"\n"
	"The exit status is that of the program, or 99 if it could not be restarted.\n";

enum {
	OPTION_GENERATION = OPTION_OWN,
	OPTION_FILES,
	OPTION_CAPSULE,
	OPTION_HOSTS,
	OPTION_HOSTFILE,
	OPTION_MAP,
	OPTION_GROUP,
	OPTION_NO_VERIFY,
	OPTION_LAZY,
	OPTION_QUIET,
	OPTION_HELP,
	OPTION_VERSION,
};

static const struct option long_options[] = {
	UTIL_ATTACH_LONG,
	{"generation", required_argument, NULL, OPTION_GENERATION},
	{"files", required_argument, NULL, OPTION_FILES},
	{"ckptdir", required_argument, NULL, 'd'},
	{"interval", required_argument, NULL, 'i'},
	{"capsule", required_argument, NULL, OPTION_CAPSULE},
	{"hosts", required_argument, NULL, OPTION_HOSTS},
	{"hostfile", required_argument, NULL, OPTION_HOSTFILE},
	{"map", required_argument, NULL, OPTION_MAP},
	{"group", required_argument, NULL, OPTION_GROUP},
	{"no-verify", no_argument, NULL, OPTION_NO_VERIFY},
	{"lazy", no_argument, NULL, OPTION_LAZY},
	{"quiet", no_argument, NULL, OPTION_QUIET},
	{"help", no_argument, NULL, OPTION_HELP},
	{"version", no_argument, NULL, OPTION_VERSION},
	{NULL, 0, NULL, 0},
};

/* Which of `words` it is, or fail() with all of them. */
static int choice(const char *option, const char *value,
		  const char *const words[])
{
	char all[128] = "";
	int i;

	for (i = 0; words[i]; i++) {
		size_t length = strlen(all);

		if (strcmp(words[i], value) == 0)
			return i;
		snprintf(all + length, sizeof(all) - length, "%s%s",
			 i ? " or " : "", words[i]);
	}
	fail("%s is %s, not '%s'", option, all, value);
}

static void set_files(struct options *o, const char *mode)
{
	static const char *const words[] = {"rollback", "reopen", NULL};

	o->reopen = choice("--files", mode, words);
	o->files_said = 1;
}

static void set_capsule(struct options *o, const char *when)
{
	static const char *const words[] = {
		[CAPSULE_AUTO] = "auto",
		[CAPSULE_ALWAYS] = "always",
		[CAPSULE_NEVER] = "never",
		NULL,
	};

	o->capsule = (enum options_capsule)choice("--capsule", when, words);
}

static void set_ckptdir(struct options *o, const char *dir)
{
	o->ckptdir = realpath(dir, NULL);
	if (!o->ckptdir)
		fail("%s: %s: make it first", dir, strerror(errno));
}

static void add_word(char ***words, size_t *count, const char *word)
{
	*words = realloc(*words, (*count + 1) * sizeof(**words));
	if (!*words || !((*words)[(*count)++] = strdup(word)))
		fail("out of memory");
}

static void add_hosts(struct options *o, const char *list)
{
	char *copy = strdup(list), *host, *rest;

	if (!copy)
		fail("out of memory");
	for (host = strtok_r(copy, ", ", &rest); host;
	     host = strtok_r(NULL, ", ", &rest))
		add_word(&o->hosts, &o->host_count, host);
	free(copy);
}

/* As MPI launchers have it: a name a line, "#" begins a comment, and what
 * stands behind a blank or a colon is about slots. */
static void read_hostfile(struct options *o, const char *path)
{
	FILE *f = fopen(path, "re");
	char line[1024];

	if (!f)
		fail("--hostfile %s: %s", path, strerror(errno));
	while (fgets(line, sizeof(line), f)) {
		char *name = line + strspn(line, " \t");

		name[strcspn(name, " \t\r\n:#")] = 0;
		if (*name)
			add_word(&o->hosts, &o->host_count, name);
	}
	fclose(f);
	if (!o->host_count)
		fail("--hostfile %s names no host", path);
}

static void add_maps(struct options *o, const char *list)
{
	char *copy = strdup(list), *map, *rest;

	if (!copy)
		fail("out of memory");
	for (map = strtok_r(copy, ", ", &rest); map;
	     map = strtok_r(NULL, ", ", &rest)) {
		if (*map == '=' || !strchr(map, '=') ||
		    !strchr(map, '=')[1])
			fail("--map is OLD=NEW, not '%s'", map);
		add_word(&o->maps, &o->map_count, map);
	}
	free(copy);
}

static void set_defaults(struct options *o)
{
	const char *value;

	memset(o, 0, sizeof(*o));
	util_attach_defaults(&o->coordinator);
	o->verify = 1;
	o->interval = -1;
	o->group = -1;
	o->where = getenv("CKPT_DIR");
	value = getenv("CKPT_FILES");
	if (value && *value)
		set_files(o, value);
	value = getenv("CKPT_CAPSULE");
	if (value && *value)
		set_capsule(o, value);
	value = getenv("CKPT_LAZY");
	o->lazy = value && *value && strcmp(value, "0") != 0;
	value = getenv("CKPT_HOSTS");
	if (value && *value)
		add_hosts(o, value);
	value = getenv("CKPT_MAP");
	if (value && *value)
		add_maps(o, value);
	value = getenv("CKPT_INTERVAL");
	if (value && *value)
		o->interval = (int)util_number("CKPT_INTERVAL", value, 0,
					       INT_MAX);
}

static void take(struct options *o, int c)
{
	switch (c) {
	case 'd':
		set_ckptdir(o, optarg);
		break;
	case 'i':
		o->interval = (int)util_number("-i", optarg, 0, INT_MAX);
		break;
	case OPTION_GENERATION:
		o->generation =
			(uint64_t)util_number("--generation", optarg, 1,
					      LONG_MAX);
		break;
	case OPTION_FILES:
		set_files(o, optarg);
		break;
	case OPTION_CAPSULE:
		set_capsule(o, optarg);
		break;
	case OPTION_HOSTS:
		add_hosts(o, optarg);
		break;
	case OPTION_HOSTFILE:
		read_hostfile(o, optarg);
		break;
	case OPTION_MAP:
		add_maps(o, optarg);
		break;
	case OPTION_GROUP:
		o->group = (int)util_number("--group", optarg, 0, 1 << 20);
		break;
	case OPTION_NO_VERIFY:
		o->verify = 0;
		break;
	case OPTION_LAZY:
		o->lazy = 1;
		break;
	case OPTION_QUIET:
		say_quiet();
		break;
	case OPTION_HELP:
		fputs(help, stdout);
		exit(0);
	case OPTION_VERSION:
		puts("ckpt_restart " PACKAGE_VERSION);
		exit(0);
	default:
		fputs("Try 'ckpt_restart --help'.\n", stderr);
		exit(99);
	}
}

void options_parse(struct options *o, int argc, char **argv)
{
	int c;

	set_defaults(o);
	while ((c = getopt_long(argc, argv, UTIL_ATTACH_SHORT "d:i:",
				long_options, NULL)) != -1)
		if (!util_attach_option(&o->coordinator, c, optarg))
			take(o, c);
	if (argc - optind > 1)
		fail("one directory at a time: '%s' is too much",
		     argv[optind + 1]);
	if (optind < argc)
		o->where = argv[optind];
	if (!o->where || !*o->where)
		o->where = ".";
}
