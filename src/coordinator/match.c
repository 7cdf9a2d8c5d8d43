/* SPDX-License-Identifier: MIT */
/*
 * Ends of connections that are in different host groups, put together by the
 * names that they tell: an end is [mine, theirs, what it says]. One table for
 * all of them, so the work grows with their number.
 */
#define _GNU_SOURCE
#include <stdlib.h>

#include "coordinator/coordinator.h"

struct match {
	json_t *places; /* mine → [number, group, what it says, wanted] */
	json_int_t count;
};

struct match *match_new(void)
{
	struct match *match = calloc(1, sizeof(*match));

	if (!match)
		abort(); /* a few bytes: there is no going on */
	match->places = json_object();
	match->count = 1;
	return match;
}

void match_free(struct match *match)
{
	json_decref(match->places);
	free(match);
}

static const char *text_at(const json_t *end, size_t index)
{
	const char *text = json_string_value(json_array_get(end, index));

	return text ? text : "";
}

void match_add(struct match *match, int group, const json_t *ends)
{
	const json_t *end;
	size_t i;

	json_array_foreach(ends, i, end) {
		const char *mine = text_at(end, 0);

		if (*mine)
			json_object_set_new(
				match->places, mine,
				json_pack("[I, i, O, i]", match->count, group,
					  json_array_get(end, 2) ?: json_null(),
					  0));
		match->count++;
	}
}

void match_want(struct match *match, const json_t *ends)
{
	const json_t *end;
	size_t i;

	json_array_foreach(ends, i, end) {
		json_t *place = json_object_get(match->places,
						text_at(end, 1));
		json_t *wanted = json_array_get(place, 3);

		if (wanted)
			json_integer_set(wanted, json_integer_value(wanted) + 1);
	}
}

int match_find(const struct match *match, const json_t *end,
	       struct match_answer *answer)
{
	const json_t *mine = json_object_get(match->places, text_at(end, 0));
	const json_t *theirs = json_object_get(match->places, text_at(end, 1));
	json_int_t a = json_integer_value(json_array_get(mine, 0));
	json_int_t b = json_integer_value(json_array_get(theirs, 0));

	*answer = (struct match_answer){
		.wanted = json_integer_value(json_array_get(mine, 3)),
		.pair = a < b ? a : b,
		.side = a > b,
		.group = json_integer_value(json_array_get(theirs, 1)),
		.says = json_array_get(theirs, 2),
	};
	return theirs != NULL;
}
