/* SPDX-License-Identifier: MIT */
/* enum wire_phase from phases.def. No libc: every room includes it. */
#ifndef WIRE_PHASES_H
#define WIRE_PHASES_H

enum wire_phase {
	PHASE_IDLE,
#define PHASE(id, name, job) PHASE_##id,
#include "wire/phases.def"
#undef PHASE
	PHASE_COUNT
};

static inline const char *phase_name(enum wire_phase phase)
{
	switch (phase) {
#define PHASE(id, name, job)                                                   \
	case PHASE_##id:                                                       \
		return name;
#include "wire/phases.def"
#undef PHASE
	default:
		return "idle";
	}
}

#endif
