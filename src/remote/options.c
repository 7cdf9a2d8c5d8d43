/* SPDX-License-Identifier: MIT */
/*
 * The command line of ssh, as far as it has to be known: which words are
 * options, which is the host, what is the command. rsh's is a part of it.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "remote/remote.h"
#include "util/die.h"

#define WITH_VALUE "BbcDEeFIiJLlmOoPpQRSWw"
/* Tunnels, terminals, questions, subsystems: the connection itself is meant,
 * or has to stay. */
#define ONLY_REAL "DGLMNOQRVWXYstw"

static void keep(struct call *call, char *word)
{
	call->options[call->option_count++] = word;
}

/* One word of options; the next one may be a value. Returns how many words
 * were taken. */
static int take_options(struct call *call, char *word, char *next)
{
	char *at;

	for (at = word + 1; *at; at++) {
		if (strchr(ONLY_REAL, *at))
			call->plain = 1;
		if (strchr(WITH_VALUE, *at)) {
			keep(call, word);
			if (at[1])
				return 1;
			if (next)
				keep(call, next);
			return 2;
		}
		/* Ours to do: the real one has to read what we tell it. */
		if (*at == 'n' || *at == 'f') {
			call->no_input = 1;
			call->background |= *at == 'f';
			memmove(at, at + 1, strlen(at));
			at--;
		}
	}
	if (word[1])
		keep(call, word);
	return 1;
}

static char *join(int count, char **words)
{
	size_t length = 1;
	char *line;
	int i;

	if (!count)
		return NULL;
	for (i = 0; i < count; i++)
		length += strlen(words[i]) + 1;
	line = calloc(1, length);
	if (!line)
		die("out of memory");
	for (i = 0; i < count; i++) {
		strcat(line, words[i]);
		if (i + 1 < count)
			strcat(line, " ");
	}
	return line;
}

void call_parse(struct call *call, const char *shell, int argc, char **argv)
{
	int i = 0;

	memset(call, 0, sizeof(*call));
	call->shell = shell;
	call->options = calloc((size_t)argc + 1, sizeof(*call->options));
	if (!call->options)
		die("out of memory");
	while (i < argc) {
		if (!strcmp(argv[i], "--")) {
			i++;
			if (!call->host && i < argc)
				call->host = argv[i++];
			break;
		}
		if (argv[i][0] == '-' && argv[i][1])
			i += take_options(call, argv[i],
					  i + 1 < argc ? argv[i + 1] : NULL);
		else if (!call->host) /* options may come behind it */
			call->host = argv[i++];
		else
			break;
	}
	if (i < argc)
		call->command = join(argc - i, argv + i);
	if (!call->host || !call->command)
		call->plain = 1;
}
