/* SPDX-License-Identifier: MIT */
/*
 * The agent's one event loop: descriptors by epoll, timers by its time-out.
 * Nothing that a callback does may block; what would goes to worker.h.
 */
#ifndef AGENT_LOOP_H
#define AGENT_LOOP_H

#include <stddef.h>
#include <stdint.h>

#define container_of(pointer, type, member)                                    \
	((type *)(void *)((char *)(pointer)-offsetof(type, member)))

/* Lives in a struct of its owner, who closes fd after loop_remove(). */
struct loop_source {
	int fd;
	void (*ready)(struct loop_source *source, uint32_t events);
};

struct loop_timer {
	uint64_t due; /* loop_now(); 0: stopped */
	void (*fire)(struct loop_timer *timer);
	struct loop_timer *next; /* the loop's */
};

int loop_open(void);
int loop_add(struct loop_source *source, uint32_t events);
int loop_modify(struct loop_source *source, uint32_t events);
/* Safe in any callback: an event already fetched for it is dropped. */
void loop_remove(struct loop_source *source);

uint64_t loop_now(void); /* CLOCK_MONOTONIC, ns */
/* (Re)starts it: fires once, after so many ms. */
void loop_timer_set(struct loop_timer *timer, uint64_t ms);
void loop_timer_stop(struct loop_timer *timer);

/* Until loop_end(). `idle` runs after each round of events. */
void loop_run(void (*idle)(void));
void loop_end(void);

#endif
