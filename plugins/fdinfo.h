/* SPDX-License-Identifier: MIT */
/* Reading the text of /proc/self/fdinfo/N, without libc. */
#ifndef PLUGINS_FDINFO_H
#define PLUGINS_FDINFO_H

#include "sys/string.h"

/* What stands behind "key:" at the start of a line at or behind `text`, blanks
 * skipped; NULL when no line begins so. */
static inline const char *fdinfo_find(const char *text, const char *key)
{
	size_t length = sys_strlen(key);

	while (*text) {
		if (sys_starts(text, key) && text[length] == ':') {
			text += length + 1;
			while (*text == ' ' || *text == '\t')
				text++;
			return text;
		}
		while (*text && *text++ != '\n')
			;
	}
	return NULL;
}

static inline uint64_t fdinfo_number(const char *text, const char *key,
				     unsigned base, uint64_t missing)
{
	const char *at = fdinfo_find(text, key);

	return at ? sys_number(&at, base) : missing;
}

/* The next field of a line. */
static inline const char *fdinfo_blanks(const char *at)
{
	while (*at == ' ' || *at == '\t')
		at++;
	return at;
}

static inline const char *fdinfo_word_end(const char *at)
{
	while (*at && *at != ' ' && *at != '\t' && *at != '\n')
		at++;
	return at;
}

#endif
