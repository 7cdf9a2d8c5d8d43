/* SPDX-License-Identifier: MIT */
/*
 * Strings and numbers for rooms without libc. Nothing allocates, nothing
 * truncates in silence: the builders return -ENAMETOOLONG.
 */
#ifndef SYS_STRING_H
#define SYS_STRING_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>

static inline size_t sys_strlen(const char *s)
{
	size_t n = 0;

	while (s[n])
		n++;
	return n;
}

static inline int sys_starts(const char *s, const char *prefix)
{
	while (*prefix)
		if (*s++ != *prefix++)
			return 0;
	return 1;
}

static inline int sys_equal(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

/* The first `needle` in s, or NULL. */
static inline const char *sys_find(const char *s, const char *needle)
{
	for (; *s; s++)
		if (sys_starts(s, needle))
			return s;
	return NULL;
}

/* Reads digits, moves *s behind them. */
static inline uint64_t sys_number(const char **s, unsigned base)
{
	uint64_t value = 0;

	for (;; (*s)++) {
		unsigned digit = (unsigned char)**s;

		if (digit >= '0' && digit <= '9')
			digit -= '0';
		else if ((digit | 32) >= 'a' && (digit | 32) <= 'f')
			digit = (digit | 32) - 'a' + 10;
		else
			return value;
		if (digit >= base)
			return value;
		value = value * base + digit;
	}
}

/* A string being built in a fixed buffer. */
struct sys_text {
	char *at, *end; /* end: the last byte, kept for the NUL */
	int error;
};

static inline void sys_text_open(struct sys_text *t, char *buffer, size_t size)
{
	t->at = buffer;
	t->end = buffer + size - 1;
	t->error = 0;
	*buffer = 0;
}

static inline void sys_text_put(struct sys_text *t, const char *s)
{
	while (*s && t->at < t->end)
		*t->at++ = *s++;
	*t->at = 0;
	if (*s)
		t->error = -ENAMETOOLONG;
}

static inline void sys_text_number(struct sys_text *t, uint64_t value,
				   unsigned base)
{
	char digits[65], *p = digits + sizeof(digits) - 1;

	*p = 0;
	do {
		*--p = "0123456789abcdef"[value % base];
	} while (value /= base);
	sys_text_put(t, p);
}

#endif
