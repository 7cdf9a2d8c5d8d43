/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "preload/wrap/environment.h"

#include <string.h>

#include "preload/preload.h"

#define PRELOAD "LD_PRELOAD"

static const struct {
	const char *name, *value;
} ours[] = {
	{"CKPT_GROUP_DIR", preload.runtime_dir},
	{"CKPT_COORDINATOR", preload.coordinator},
	{"CKPT_COMPUTATION", preload.computation},
	{"CKPT_REMOTE", preload.remote},
};

#define OURS (sizeof(ours) / sizeof(*ours))

static const char *value_of(const char *entry, const char *name)
{
	size_t length = strlen(name);

	return strncmp(entry, name, length) == 0 && entry[length] == '='
		       ? entry + length + 1
		       : NULL;
}

static const char *find(char *const envp[], const char *name)
{
	const char *value;

	for (; envp && *envp; envp++) {
		value = value_of(*envp, name);
		if (value)
			return value;
	}
	return NULL;
}

/* Is our library one of the names in LD_PRELOAD? Blanks and colons divide. */
static int preloads_us(const char *list)
{
	size_t length = strlen(preload.library), n;

	while (list && *list) {
		n = strcspn(list, " :");
		if (n == length && memcmp(list, preload.library, n) == 0)
			return 1;
		list += n + (list[n] != 0);
	}
	return 0;
}

static int is_right(char *const envp[])
{
	const char *value;
	size_t i;

	for (i = 0; i < OURS; i++) {
		value = find(envp, ours[i].name);
		if (!value && !*ours[i].value) /* CKPT_REMOTE: there is none */
			continue;
		if (!value || strcmp(value, ours[i].value) != 0)
			return 0;
	}
	return preloads_us(find(envp, PRELOAD));
}

size_t environment_size(char *const envp[])
{
	size_t i, size, count = 0;
	const char *list;

	if (!preload.slot || is_right(envp))
		return 0;
	while (envp && envp[count])
		count++;
	list = find(envp, PRELOAD);
	size = (count + OURS + 2) * sizeof(char *);
	size += sizeof(PRELOAD "=:") + strlen(preload.library) +
		(list ? strlen(list) : 0);
	for (i = 0; i < OURS; i++)
		size += strlen(ours[i].name) + strlen(ours[i].value) + 2;
	return size;
}

static char *put(char *to, const char *s)
{
	size_t length = strlen(s);

	memcpy(to, s, length + 1);
	return to + length;
}

static int is_ours(const char *entry)
{
	size_t i;

	for (i = 0; i < OURS; i++)
		if (value_of(entry, ours[i].name))
			return 1;
	return value_of(entry, PRELOAD) != NULL;
}

char *const *environment_build(void *room, char *const envp[])
{
	const char *list = find(envp, PRELOAD);
	char **vector = room, **next = vector, *text;
	size_t i, count = 0;

	while (envp && envp[count])
		count++;
	text = (char *)(vector + count + OURS + 2);
	for (i = 0; i < count; i++)
		if (!is_ours(envp[i]))
			*next++ = envp[i];

	*next++ = text;
	text = put(text, PRELOAD "=");
	if (!preloads_us(list)) {
		text = put(text, preload.library);
		if (list && *list)
			text = put(text, ":");
	}
	text = put(text, list ? list : "") + 1;
	for (i = 0; i < OURS; i++) {
		if (!*ours[i].value)
			continue;
		*next++ = text;
		text = put(text, ours[i].name);
		text = put(text, "=");
		text = put(text, ours[i].value) + 1;
	}
	*next = NULL;
	return vector;
}
