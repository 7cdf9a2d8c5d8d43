// SPDX-License-Identifier: MIT
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "image-tool/image-tool.h"

json_t *text_json(const char *bytes, size_t length)
{
	json_t *text = json_stringn(bytes, length);
	char *escaped, *to;
	size_t i;

	if (text)
		return text;
	escaped = to = malloc(4 * length + 1);
	if (!escaped)
		return NULL;
	for (i = 0; i < length; i++) {
		unsigned char c = (unsigned char)bytes[i];

		to += c < 0x80 ? sprintf(to, "%c", c) : sprintf(to, "\\x%02x", c);
	}
	text = json_stringn(escaped, (size_t)(to - escaped));
	free(escaped);
	return text;
}

void text_time(int64_t seconds, char *text, size_t size, int iso)
{
	time_t t = (time_t)seconds;
	struct tm tm;

	if (iso ? !gmtime_r(&t, &tm) : !localtime_r(&t, &tm))
		snprintf(text, size, "?");
	else
		strftime(text, size, iso ? "%FT%TZ" : "%F %T", &tm);
}

void text_bytes(uint64_t bytes, char *text, size_t size)
{
	static const char *const units[] = {"B",   "KiB", "MiB", "GiB",
					    "TiB", "PiB", "EiB"};
	double value = (double)bytes;
	unsigned unit = 0;

	for (; value >= 1024 && unit < 6; unit++)
		value /= 1024;
	snprintf(text, size, unit && value < 100 ? "%.1f %s" : "%.0f %s", value,
		 units[unit]);
}
