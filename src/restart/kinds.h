/* SPDX-License-Identifier: MIT */
/* The kinds of objects, from plugins/kinds.def. */
#ifndef KINDS_H
#define KINDS_H

#include <stdint.h>

#include "ckpt/plugin.h"

int kinds_known(uint32_t kind);
/* Its records stand for open file descriptions: struct image_object first. */
int kinds_is_object(uint32_t kind);
const char *kinds_name(uint32_t kind); /* "object" for an unknown one */
/* NULL: this kind restores nothing in ckpt_restart. */
const struct ckpt_restorer *kinds_restorer(uint32_t kind);
/* All of them, by index. */
size_t kinds_count(void);
const struct ckpt_restorer *kinds_at(size_t index); /* NULL, as above */

#endif
