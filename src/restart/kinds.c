/* SPDX-License-Identifier: MIT */
/* The table of plugins/kinds.def, the restoring half. Adding a kind changes
 * nothing here. */
#include "restart/kinds.h"

#include <stddef.h>

#define RESTORER_0(name)
#define RESTORER_1(name) extern const struct ckpt_restorer name##_restorer;
#define KIND(name, number, saver, restorer) RESTORER_##restorer(name)
#include "plugins/kinds.def"
#undef KIND
#undef RESTORER_0
#undef RESTORER_1

#define RESTORER_0(name) NULL
#define RESTORER_1(name) &name##_restorer

static const struct {
	uint32_t number;
	const char *name;
	const struct ckpt_restorer *restorer;
} kinds[] = {
#define KIND(name, number, saver, restorer)                                    \
	{number, #name, RESTORER_##restorer(name)},
#include "plugins/kinds.def"
#undef KIND
};

static size_t find(uint32_t kind)
{
	size_t i;

	for (i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (kinds[i].number == kind)
			break;
	return i;
}

int kinds_known(uint32_t kind)
{
	return find(kind) < sizeof(kinds) / sizeof(*kinds);
}

const struct ckpt_restorer *kinds_restorer(uint32_t kind)
{
	return kinds_known(kind) ? kinds[find(kind)].restorer : NULL;
}

int kinds_is_object(uint32_t kind)
{
	const struct ckpt_restorer *restorer = kinds_restorer(kind);

	return restorer && restorer->open;
}

const char *kinds_name(uint32_t kind)
{
	return kinds_known(kind) ? kinds[find(kind)].name : "object";
}

size_t kinds_count(void)
{
	return sizeof(kinds) / sizeof(*kinds);
}

const struct ckpt_restorer *kinds_at(size_t index)
{
	return kinds[index].restorer;
}
